"""The figures of forecasts: fans, errors by step, coverage, the probability integral transform, maps of weights.

Legend: L steps shown of the past, H horizon, I levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lamina.report.statistics import Floats
from lamina.report.svg import INK, MUTED, SERIES, draw, draw_png, legend, readable
from lamina.report.wording import label, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True, kw_only=True)
class Fan:
    """A forecast with its intervals, in own units."""

    title: str
    past_L: Floats
    """of a part of a forecast, which has none, one NaN"""
    forecast_H: Floats
    truth_H: Floats | None = None
    intervals: Mapping[int, tuple[Floats, Floats]] = field(default_factory=dict)
    """lower and upper ends (H,) by level in per cent"""
    others: Mapping[str, Floats] = field(default_factory=dict)
    """other forecasts (H,) by name"""
    times: tuple[str, str, str] = ("", "", "")
    """the first time shown, the end of the past, and the last time"""


def fan(one: Fan) -> Markup:
    """The past, what was forecast with its intervals, and what came."""
    end = f"forecast {number(float(one.forecast_H[0]))} to {number(float(one.forecast_H[-1]))}"
    came = "" if one.truth_H is None else f", truth {number(float(one.truth_H[0]))} to {number(float(one.truth_H[-1]))}"
    return draw(_fan(one, SERIES, INK, MUTED), f"{one.title}: {end}{came}", width=520, height=230)


def fan_png(ones: Sequence[Fan]) -> bytes:
    """Fans one below the other, as a PNG file."""

    def paint(figure: Figure) -> None:
        for axes, one in zip(np.atleast_1d(figure.subplots(len(ones), 1)), ones, strict=True):
            _paint_fan(axes, one, ("C0", "C1", "C2", "C3"), "black", "grey")
            axes.set_title(label(one.title, 60), loc="right")

    return draw_png(paint, width=640, height=60 + 200 * len(ones))


def _fan(one: Fan, colours: Sequence[str], ink: str, muted: str) -> Callable[[Figure], None]:
    return lambda figure: _paint_fan(figure.subplots(), one, colours, ink, muted)


def _paint_fan(axes, one: Fan, colours: Sequence[str], ink: str, muted: str) -> None:  # type: ignore[no-untyped-def]
    past, ahead = np.arange(-len(one.past_L) + 1, 1), np.arange(1, len(one.forecast_H) + 1)
    for k, level in enumerate(sorted(one.intervals, reverse=True)):
        low, high = one.intervals[level]
        axes.fill_between(ahead, low, high, color=colours[0], alpha=0.16 + 0.12 * k, linewidth=0, label=f"{level} %")
    truth = one.past_L if one.truth_H is None else np.concatenate([one.past_L, one.truth_H])
    if not np.isnan(truth).all():
        axes.plot(
            np.arange(len(truth)) + past[0],
            truth,
            color=ink,
            linewidth=1.2,
            label="truth" if one.truth_H is not None else "history",
        )
    for k, (name, y) in enumerate(one.others.items()):
        axes.plot(ahead, y, color=colours[2 + k % 2], linewidth=1.2, linestyle=DASHES[1], label=name)
    mark = "o" if len(ahead) == 1 else ""
    axes.plot(
        ahead,
        one.forecast_H,
        color=colours[0],
        linewidth=1.8,
        marker=mark,
        label="forecast" if len(one.past_L) > 1 else None,
    )
    if len(one.past_L) == 1:
        axes.set_xlim(0.5, len(ahead) + 0.5)
    axes.axvline(0.5, color=muted, linewidth=1, linestyle=(0, (2, 3)))
    if axes.get_legend_handles_labels()[1]:
        legend(axes, columns=5)
    readable(axes.yaxis)
    if one.times[0]:
        axes.set_xticks([past[0], 0, ahead[-1]], one.times)
        ticks = axes.get_xticklabels()
        ticks[0].set_horizontalalignment("left")
        ticks[-1].set_horizontalalignment("right")
    else:
        readable(axes.xaxis, whole=True)
        axes.set_xlabel("steps from the end of the past")


def by_step(errors: Mapping[str, Floats], name: str) -> Markup:
    """The error of each step of the forecast, of the model and of others."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for k, (method, y) in enumerate(errors.items()):
            mark = "o" if len(y) <= 30 else ""
            style = "-" if k == 0 else DASHES[1 + (k - 1) % 3]
            axes.plot(
                np.arange(1, len(y) + 1), y, color=SERIES[k], linestyle=style, marker=mark, markersize=3, label=method,
                linewidth=2.2 if k == 0 else 1.3,
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set(xlabel="step of the forecast", ylabel=name)
        legend(axes, columns=2)
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    words = ", ".join(f"{method} {number(float(y[0]), 3)} to {number(float(y[-1]), 3)}" for method, y in errors.items())
    return draw(paint, f"{name} by step: {words}", height=290)


def coverage_curve(nominal: Sequence[float], found: Mapping[str, Sequence[float]]) -> Markup:
    """The share of values inside the intervals of each level, against the level."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="as they promise")
        for k, (name, values) in enumerate(found.items()):
            axes.plot(nominal, values, color=SERIES[k], marker="o", markersize=4, linestyle=DASHES[k % 4], label=name)
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="level of the interval, %", ylabel="values inside, %")
        legend(axes, columns=2)
        readable(axes.xaxis)
        readable(axes.yaxis)

    words = "; ".join(
        f"{name}: " + ", ".join(f"{n:g} % holds {v:.1f} %" for n, v in zip(nominal, values, strict=True))
        for name, values in found.items()
    )
    return draw(paint, f"Coverage of intervals. {words}", height=290)


def transform(share_B: Floats) -> Markup:
    """Histogram of the place of what came among the forecast quantiles: even where they are right."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        edges = np.linspace(0, 1, len(share_B) + 1)
        axes.bar(edges[:-1], share_B, np.diff(edges) * 0.94, align="edge", color=SERIES[0], alpha=0.55)
        axes.axhline(1 / len(share_B), color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 1), xlabel="place of the truth among the quantiles", ylabel="share of values")
        readable(axes.xaxis)
        readable(axes.yaxis)

    ends = f"lowest bin {number(float(share_B[0]), 3)}, highest {number(float(share_B[-1]), 3)}"
    return draw(paint, f"Probability integral transform, {len(share_B)} bins: {ends}", height=290)


def weights(matrix_HL: Floats, title: str) -> Markup:
    """The weight of each step of the past for each step of the forecast, as a picture; blue is negative."""
    paint = _weights(matrix_HL)
    return draw(paint, f"{title}: weights of {matrix_HL.shape[1]} past steps for {matrix_HL.shape[0]}", 420, 320)


def weights_png(matrix_HL: Floats) -> bytes:
    """The same as a PNG file."""
    return draw_png(_weights(matrix_HL), 420, 320)


def _weights(matrix_HL: Floats) -> Callable[[Figure], None]:
    most = float(np.abs(matrix_HL).max()) or 1.0

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        steps, past = matrix_HL.shape
        image = axes.imshow(
            matrix_HL, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="none", rasterized=True,
            extent=(-past + 0.5, 0.5, steps + 0.5, 0.5),
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set(xlabel="step of the past (0: the last)", ylabel="step of the forecast")
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.outline.set_visible(False)
        readable(bar.ax.yaxis)

    return paint


def attention(matrix_NN: Floats, title: str) -> Markup:
    """The attention of each patch (row) to each (column); rows sum to 1."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.imshow(matrix_NN, cmap="Blues", vmin=0, interpolation="none", rasterized=True)
        axes.grid(visible=False)
        axes.set(xlabel="patch attended to", ylabel="patch")
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.outline.set_visible(False)
        readable(bar.ax.yaxis)

    return draw(paint, f"{title}: attention between {len(matrix_NN)} patches", 380, 320)


def importance_of_past(effect_L: Floats, name: str) -> Markup:
    """How much the forecast changes where a stretch of the past is replaced by its mean."""
    paint = _importance(effect_L)
    at = int(effect_L.argmax())
    return draw(paint, f"{name}: greatest at {len(effect_L) - 1 - at} steps before the end", width=520, height=220)


def importance_png(effect_L: Floats) -> bytes:
    """The same as a PNG file."""
    return draw_png(_importance(effect_L), 520, 220)


def _importance(effect_L: Floats) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        steps = np.arange(-len(effect_L) + 1, 1)
        axes.fill_between(steps, 0, effect_L, color="C0", alpha=0.35, linewidth=0, step="mid")
        axes.step(steps, effect_L, color="C0", where="mid", linewidth=1.2)
        axes.set(xlabel="step of the past (0: the last)", ylabel="change of the forecast", xlim=(steps[0], steps[-1]))
        axes.set_ylim(bottom=0)
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    return paint
