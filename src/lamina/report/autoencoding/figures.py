"""Figures of autoencoders: bars, points by class, scores with a threshold, a field of arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lamina.report.content import Array
from lamina.report.statistics import Floats
from lamina.report.svg import BETWEEN, INK, MUTED, SERIES, draw, legend, readable
from lamina.report.wording import label, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = 8
"""classes with a colour of their own"""


def bars(rows: Sequence[tuple[str, float]], x_name: str, alt: str) -> Markup:
    """A horizontal bar for each named value."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        place = np.arange(len(rows))
        axes.barh(place, [value for _, value in rows], height=0.66, color=SERIES[0], alpha=0.6)
        axes.set_yticks(place, [label(name) for name, _ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x_name)
        readable(axes.xaxis)

    words = ", ".join(f"{name} {number(value, 3)}" for name, value in rows[:8])
    return draw(paint, f"{alt}: {words}", height=70 + 20 * len(rows))


def points(xy_N2: Array, classes_N: Array | None, names: Sequence[str], alt: str) -> Markup:
    """A point for each sample, in the colour of its class."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        groups = range(len(names)) if classes_N is not None else (None,)
        for k in groups:
            chosen = np.ones(len(xy_N2), dtype=bool) if k is None else classes_N == k
            # after the colours of the page, those of matplotlib's map of twenty
            colour = SERIES[0] if k is None else SERIES[k] if k < COLOURS else BETWEEN
            marker = "o" if k is None or k < COLOURS else "x"
            name = "" if k is None else label(names[k], 12)
            axes.scatter(xy_N2[chosen, 0], xy_N2[chosen, 1], s=9, color=colour, alpha=0.75, marker=marker, label=name)
        if classes_N is not None and len(names) <= 2 * COLOURS:
            legend(axes, columns=5)
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"{alt}: {len(xy_N2)} samples in two dimensions", height=330)


def score_histogram(score_N: Floats, anomalous_N: NDArray[np.bool_], threshold: float | None) -> Markup:
    """Scores of normal and anomalous samples, and the threshold between them."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        edges = np.linspace(float(score_N.min()), float(np.quantile(score_N, 0.995)) + 1e-12, 41).tolist()
        for k, (name, chosen) in enumerate((("normal", ~anomalous_N), ("anomalous", anomalous_N))):
            axes.hist(score_N[chosen], edges, color=SERIES[k], alpha=0.55, label=name)
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        legend(axes)
        axes.set(xlabel="score", ylabel="samples")
        readable(axes.xaxis)
        readable(axes.yaxis, whole=True)

    mark = "" if threshold is None else f"; threshold {number(threshold)}"
    return draw(paint, f"Scores of {len(score_N)} samples, normal and anomalous{mark}")


def vector_field(points_N2: Array, at_M2: Array, to_M2: Array, names: Sequence[str]) -> Markup:
    """Where a denoiser moves each point of a grid, over the data."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.scatter(points_N2[:, 0], points_N2[:, 1], s=6, color=SERIES[0], alpha=0.5)
        away = np.asarray(to_M2) - np.asarray(at_M2)
        how: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.003, "color": MUTED}
        axes.quiver(at_M2[:, 0], at_M2[:, 1], away[:, 0], away[:, 1], **how)
        axes.set(xlabel=label(names[0]), ylabel=label(names[1]))
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"Where the denoiser moves {len(at_M2)} points, over {len(points_N2)} samples", height=360)
