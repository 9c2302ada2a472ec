"""Matplotlib figures as inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from lamina.report.wording import clean, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Matplotlib writes colours as numbers. These stand for the variables of the style sheet until the figure is drawn.
INK, MUTED, RULE, PAGE = "#010203", "#010204", "#010205", "#010206"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216", "#010217", "#010218")
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAGE: "var(--page)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, start=1)},
}
# What the style sheet has for them on a light page, for figures that are files of their own.
LIGHT_SERIES = ("#1f6fb2", "#c4570f", "#0b7d5d", "#9b4f90", "#2f93bb", "#8d7000", "#6b55a6", "#68717c")
LIGHT = {INK: "#1b2026", MUTED: "#5a6470", RULE: "#dde1e6", PAGE: "#ffffff"} | dict(
    zip(SERIES, LIGHT_SERIES, strict=True)
)
# For what is drawn as pixels and cannot follow the page: it reads on white and on black.
WORDS = ("text",)
"""elements whose contents are read"""
BETWEEN = "#3f87c6"

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's typeface
    "svg.hashsalt": "lamina",  # the same content gives the same bytes
    "text.parse_math": False,  # a name may hold $, _ and ^
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def draw(paint: Callable[[Figure], None], alt: str, width: int = 380, height: int = 250) -> Markup:
    """What ``paint`` puts on a figure of so many CSS pixels, as an SVG element that scales with its box.

    ``alt`` is the alternative text.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    sheet = io.BytesIO()
    with _painted(paint, width, height, _SETTINGS) as figure:
        figure.patch.set_alpha(0)
        FigureCanvasSVG(figure).print_svg(sheet, metadata={"Date": None, "Creator": None})
    return Markup(_inline(sheet.getvalue(), alt))


def draw_png(paint: Callable[[Figure], None], width: int = 380, height: int = 250) -> bytes:
    """What ``paint`` puts on a figure, as a PNG file in the colours of a light page, twice as many pixels a side.

    ``paint`` names the colours of series "C0", "C1", ..., and takes others from matplotlib's settings.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    sheet = io.BytesIO()
    settings = {name: LIGHT.get(value, value) if isinstance(value, str) else value for name, value in _SETTINGS.items()}
    with _painted(paint, width, height, settings | {"axes.prop_cycle": _cycle(LIGHT_SERIES)}) as figure:
        figure.set_dpi(144)
        FigureCanvasAgg(figure).print_png(sheet, metadata={"Software": None})
    return sheet.getvalue()


_ONE_AT_A_TIME = threading.Lock()
"""matplotlib's settings are those of the process: two threads would draw with each other's"""


@contextmanager
def _painted(paint: Callable[[Figure], None], width: int, height: int, settings: dict[Any, Any]) -> Generator[Figure]:
    import matplotlib
    from matplotlib.figure import Figure

    with _ONE_AT_A_TIME, matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")  # the reader's browser has the glyph
        matplotlib.rcdefaults()  # not the user's own matplotlibrc
        matplotlib.rcParams.update({"axes.prop_cycle": _cycle(SERIES), **settings})
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        paint(figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        yield figure


def _cycle(colours: Sequence[str]) -> Any:
    from cycler import cycler

    return cycler(color=colours)


def readable(axis: Axis, *, whole: bool = False) -> None:
    """Plain numbers at the ticks of linear and logarithmic axes (matplotlib's own would need its mathematics).

    ``whole``: integers only, for counts.
    """
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,), numticks=6))
        axis.set_minor_formatter(NullFormatter())
    elif isinstance(axis.get_major_locator(), AutoLocator):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=whole))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """A number at an axis: "0.25", "150k", "1e−5"."""
    if 1e4 <= abs(value) < 1e6:
        return f"{tick(value / 1e3)}k"
    return f"{tick(value / 1e6)}M" if 1e6 <= abs(value) < 1e9 else tick(value)


def legend(axes: Axes, columns: int = 3) -> None:
    """The legend above the axes, where it can hide nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.99),
        ncols=columns,
        borderpad=0.2,
        handlelength=1.6,
        columnspacing=1.4,
    )


def _inline(document: bytes, alt: str) -> str:
    """Matplotlib's document as one element for a page: colours by name, no identifiers that could clash, few digits."""
    root = ElementTree.fromstring(document)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    pointed_at = {name for element in root.iter() for name in _references(element)}
    prefix = f"f{sha256(document + alt.encode('utf-8', 'replace')).hexdigest()[:8]}-"
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag not in WORDS:
            element.text = None
        given = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}  # xlink:href is href today
        element.attrib.clear()
        for key, value in given.items():
            if key == "id" and value in pointed_at:
                element.set(key, prefix + value)
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{prefix}{value[1:]}")
            elif key == "clip-path":
                element.set(key, value.replace("url(#", f"url(#{prefix}"))
            elif key == "style":
                element.set(key, _style(value))
            elif key in ("d", "x", "y", "transform"):
                element.set(
                    key, re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", " ".join(value.split()))
                )
            elif key != "id":
                element.set(key, value)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": box, "role": "img", "aria-label": clean(alt), "style": f"--width: {box.split()[2]}px"}
    )
    return ElementTree.tostring(root, encoding="unicode")


def _references(element: ElementTree.Element) -> list[str]:
    """Identifiers that an element's attributes point at, as "#name" or "url(#name)"."""
    return [name for value in element.attrib.values() for name in re.findall(r"(?:^|url\()#([\w-]+)", value)]


def _style(value: str) -> str:
    """Placeholders become the page's variables; the typeface is left to the page, its size is kept."""
    value = re.sub(r"#[0-9a-f]{6}", lambda found: VARIABLES.get(found[0], found[0]), value)
    value = re.sub(r"(?<![-\w])font:[^;]*?(\d+(?:\.\d+)?px)[^;]*", r"font-size: \1", value)  # matplotlib before 3.11
    return re.sub(r"font-family:[^;]*;?\s*", "", value)
