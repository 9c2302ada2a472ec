"""Figures of adversarial networks: verdicts over training, the critic's gradients, distances to training samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lamina.report.content import Array
from lamina.report.statistics import Floats
from lamina.report.svg import MUTED, SERIES, draw, legend, readable
from lamina.report.wording import label, number, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def over_training(history: Sequence[Mapping[str, float]], names: Mapping[str, str]) -> dict[str, tuple[Floats, Floats]]:
    """A line for each named metric of the epochs, of validation data where they were evaluated; finite values only."""
    found = {}
    for line, metric in names.items():
        rows = [(row["epoch"], row.get(f"validation_{metric}", row.get(f"train_{metric}"))) for row in history]
        points = np.array([(x, y) for x, y in rows if y is not None and np.isfinite(y)], dtype=np.float64)
        if len(points):
            found[line] = (points[:, 0], points[:, 1])
    return found


def lines(
    found: Mapping[str, tuple[Floats, Floats]], x_name: str, y_name: str, alt: str, band: Sequence[float] = ()
) -> Markup:
    """A line for each name; ``band``: levels that are marked."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (name, (x, y)) in enumerate(found.items()):
            axes.plot(x, y, color=SERIES[i], label=name, marker="o" if len(x) < 8 else None, markersize=3.5)
        for level in band:
            axes.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel=x_name, ylabel=y_name)
        legend(axes)
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    words = [f"{name} {rounded(float(y[0]))} to {rounded(float(y[-1]))}" for name, (_, y) in found.items() if len(y)]
    return draw(paint, f"{alt}: {', '.join(words)}")


def histogram(values: Mapping[str, Floats], x_name: str, alt: str, mark: float | None = None) -> Markup:
    """Histograms of several groups over one another; ``mark``: a value that is marked."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        every = np.concatenate(list(values.values()))
        highest = max(float(every.max()), 0.0 if mark is None else 1.05 * mark, 1e-12)
        edges = np.linspace(0, highest, 41).tolist()
        for i, (name, group) in enumerate(values.items()):
            axes.hist(group, edges, color=SERIES[i], alpha=0.55, label=name)
        if mark is not None:
            axes.axvline(mark, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        legend(axes)
        axes.set(xlabel=x_name, ylabel="samples")
        readable(axes.xaxis)
        readable(axes.yaxis, whole=True)

    words = ", ".join(f"{name} {number(float(np.median(group)), 3)}" for name, group in values.items())
    return draw(paint, f"{alt}; medians: {words}")


def clouds(real_N2: Array, made_N2: Array, names: Sequence[str]) -> Markup:
    """Real and generated points of the plane."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (name, points) in enumerate({"real": real_N2, "generated": made_N2}.items()):
            axes.plot(points[:, 0], points[:, 1], ".", markersize=3, color=SERIES[i], alpha=0.45, label=name)
        axes.set(xlabel=label(names[0]), ylabel=label(names[1]), aspect="equal")
        legend(axes)
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"{len(real_N2)} real and {len(made_N2)} generated points", height=360)
