"""The description of a source that tasks and models rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NO_TARGETS = "none"
"""``DataSpec.task`` of data without targets"""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""accepted names of the splits, in lower case"""
ORDER: tuple[str, ...] = ("train", "validation", "test")
"""the splits in standard order"""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its name and type."""

    name: str
    kind: Literal["numeric", "categorical", "date", "index"]
    """index: it numbers the rows and is no input"""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The properties of a source.

    Example: ``open_source("iris").spec.classes`` is ``("setosa", "versicolor", "virginica")``.
    """

    name: str
    """the source as the user named it"""
    kind: str
    """the modality: "image", "table", "text", or another package's"""
    task: str
    """the task that its targets or texts suggest; "none" without targets"""
    classes: tuple[str, ...] = ()
    """class or label names, in the order of the target's indices; empty for regression"""
    targets: tuple[str, ...] = ()
    """names of the target columns (for regression one for each output)"""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """samples in each split; characters for running text"""
    counted: str = "samples"
    """unit of ``sizes``"""
    channels: int | None = None
    """image channels; None if grey and colour files are mixed"""
    height: int | None = None
    width: int | None = None
    """pixels; None if images differ in size"""
    value_range: tuple[float, float] = (0.0, 255.0)
    """stored pixel values of black and white"""
    columns: tuple[Column, ...] = ()
    """input columns of a table"""
    date_orders: Mapping[str, str] = field(default_factory=dict)
    """by column of dates "day first" or "month first"; "unclear" ones are no input"""
    missing: tuple[str, ...] = ()
    """additional strings for missing values in a table"""
    languages: tuple[str, ...] = ()
    """source and target language of text pairs"""
    tokenizer: str = ""
    """recommended kind of tokenizer, if the source has one"""
    fingerprint: str = ""
    """hash of the data (of file names and sizes for image files)"""
    skipped: tuple[str, ...] = ()
    """unreadable files and rows skipped with ``skip_bad``"""
    notes: tuple[str, ...] = ()
    """what the user should read about how the data were read and divided"""
    group: str = ""
    """the column whose groups are each in one split"""
    fold: str = ""
    """the fold that is tested: "2 of 5" """
    reading: Mapping[str, Any] = field(default_factory=dict)
    """how a table was read: the options given, and under "notations" the decimal and thousands mark of columns whose
    numbers have other marks than a decimal point"""
    centres: tuple[tuple[float, ...], ...] = ()
    """toy data: the centre of each mode, in the units of the columns"""
    hint: str = ""
    """without targets: how the user can provide them"""
    licence: str = ""
    """licence or origin, if known"""

    @property
    def advice(self) -> str:
        """The hint, without the source's name before it."""
        return self.hint.removeprefix(f"{self.name}: ")
