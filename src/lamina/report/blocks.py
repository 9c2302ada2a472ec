"""Building blocks of a page: sections of a few kinds of block, rendered by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from lamina.report.images import Tile
from lamina.report.marks import Mark


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph, optionally followed by a link."""

    text: str
    beside: bool = False
    """beside the figure before it, where there is room"""
    link: str = ""
    link_text: str = ""
    kind: str = "text"


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of short texts."""

    title: str
    items: Sequence[str]
    kind: str = "items"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Names and their values."""

    pairs: Sequence[tuple[str, str]]
    marked: frozenset[str] = frozenset()
    """names that are set in bold, with a bar beside them"""
    kind: str = "pairs"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A line for the shell."""

    text: str
    kind: str = "command"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text; the first cell of each names it. Columns are of numbers unless ``words`` has their index."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    foot: Sequence[Sequence[str]] = ()
    words: frozenset[int] = frozenset({0})
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawn figure with its caption."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Figures side by side where there is room; a ``large`` one has the whole width and scrolls in its box."""

    charts: Sequence[Chart]
    title: str = ""
    large: bool = False
    kind: str = "charts"


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Small images in rows; ``alt`` describes them where they have no captions of their own."""

    title: str
    alt: str
    tiles: Sequence[Tile]
    note: str = ""
    kind: str = "tiles"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a confusion matrix."""

    count: str
    share: str
    depth: float
    """opacity of its colour, 0 to 1"""
    right: bool
    alt: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix as a table: a row for each true class."""

    title: str
    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    kind: str = "matrix"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text with its line breaks and highlights."""

    marks: Sequence[Mark]
    where: str = ""
    """above it"""
    caption: str = ""
    """below it"""


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Texts with marks in them, one below the other."""

    title: str
    passages: Sequence[Passage]
    note: str = ""
    kind: str = "passages"


Block = Text | Items | Pairs | Command | Table | Charts | Tiles | Matrix | Passages


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it; ``name`` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
