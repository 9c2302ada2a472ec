"""Spectra drawn: figures of a page, small pictures of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lamina.report.blocks import Chart, Charts, Pairs, Section
from lamina.report.svg import draw, draw_png
from lamina.report.templates import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A spectrum, and how much each wavelength moves the output looked at."""

    axis: Floats
    signal: Floats
    saliency: Floats


@dataclass(frozen=True, kw_only=True)
class SpectrumPage:
    """An inspection, and what its page says beside it."""

    name: str
    model: str
    image: str
    seen: Seen
    target: str
    said: Sequence[tuple[str, str]]
    facts: Mapping[str, str] = field(default_factory=dict)
    random: bool = False

    def html(self) -> str:
        says = Section(name="says", title="What the model says", blocks=[Pairs(pairs=self.said)])
        charts = [
            chart("The spectrum", {"": self.seen.signal}, self.seen.axis),
            chart("Size of its gradient", {"": self.seen.saliency}, self.seen.axis),
        ]
        title = "Which wavelengths it looks at"
        sections = [says, Section(name="saliency", title=title, blocks=[Charts(charts=charts)])]
        return render("inspection.html", content=self, sections=sections)

    def pictures(self) -> dict[str, bytes]:
        return {"saliency": draw_png(lines({"": self.seen.saliency}, self.seen.axis))}


def means_section(means: Mapping[str, Floats], axis: Floats) -> Section:
    """The mean spectrum of each class."""
    charts = Charts(charts=[chart("Mean spectra", means, axis)])
    return Section(name="spectra", title="Spectra by class", blocks=[charts])


def small_picture(signal: Floats, height: int = 24) -> NDArray[np.uint8]:
    """A signal (L,) as a picture (height, L, 1), dark where it runs."""
    picture = np.full((height, len(signal), 1), 255, dtype=np.uint8)
    low, extent = signal.min(), max(float(np.ptp(signal)), 1e-6)
    rows = ((1 - (signal - low) / extent) * (height - 1)).round().astype(int)
    picture[rows, np.arange(len(signal))] = 0
    return picture


def chart(title: str, signals: Mapping[str, Floats], axis: Floats) -> Chart:
    return Chart(title=title, svg=draw(lines(signals, axis), f"{title} over wavelengths"))


def lines(signals: Mapping[str, Floats], axis: Floats) -> Callable[[Figure], None]:
    """What paints signals over wavelengths."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, signal in signals.items():
            axes.plot(axis, signal, label=name or None)
        axes.set_xlabel("wavelength")

    return paint
