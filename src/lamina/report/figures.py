"""The figures of a report, each an SVG element with alternative text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lamina.report.statistics import Calibration, Floats, Ints
from lamina.report.svg import BETWEEN, INK, MUTED, PAGE, SERIES, draw, draw_png, legend, readable
from lamina.report.wording import label, number, rounded, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = tuple[Floats, Floats]
"""x and y, finite"""

DASHES = ("-",) * 4 + ("--",) * 4
AS_PIXELS = 600
"""from so many points on a scatter is drawn as pixels: the page stays small"""


def curves(title: str, lines: Mapping[str, Points], x_name: str, kept: float | None = None) -> Markup:
    """One quantity over training, a line for each of "train" and "validation"; ``kept``: where the weights are from."""
    drawn = {line: points for line, points in lines.items() if len(points[0])}
    words = [f"{line} {rounded(y[0])} to {rounded(y[-1])}".strip() for line, (_, y) in drawn.items()]

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        everything = np.concatenate([y for _, y in drawn.values()])
        for i, (line, (x, y)) in enumerate(drawn.items()):
            x, y = thinned(x, y)
            colour = SERIES[{"train": 0, "validation": 1}.get(line, i)]
            axes.plot(x, y, color=colour, label=line, marker="o" if len(x) <= 30 else "", markersize=3.5)
        if len(drawn) > 1:
            legend(axes)
        low, high = float(everything.min()), float(everything.max())
        if "loss" in title and low > 0 and high > 50 * low:
            axes.set_yscale("log")
        elif low == high > 0:  # a constant: matplotlib would show it through a microscope
            axes.set_ylim(0, 2 * high)
        if kept is not None:
            axes.axvline(kept, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_xlabel(x_name)
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"{title} over training: {', '.join(words)}")


def reliability(found: Calibration) -> Markup:
    """Reliability diagram: accuracy in each bin of predicted probability, above the number of samples in each bin."""

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        left, width = found.edges[:-1], np.diff(found.edges)
        upper.bar(left, np.nan_to_num(found.accuracy_K), width * 0.92, align="edge", color=SERIES[0], alpha=0.35)
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
        seen = found.count_K > 0
        upper.plot(
            found.confidence_K[seen], found.accuracy_K[seen], "o", color=SERIES[0], markersize=4.5, label="model"
        )
        upper.set(xlim=(0, 1), ylim=(-0.03, 1.03), ylabel="accuracy")
        legend(upper)
        lower.bar(left, found.count_K, width * 0.92, align="edge", color=MUTED, alpha=0.6)
        lower.set(xlabel="confidence", ylabel="samples")
        lower.set_yticks([0, max(int(found.count_K.max()), 1)])
        for axes in (upper, lower):
            readable(axes.xaxis)
            readable(axes.yaxis)

    bins = ", ".join(
        f"confidence {number(c, 2)} accuracy {number(a, 2)}"
        for c, a in zip(found.confidence_K, found.accuracy_K, strict=True)
        if np.isfinite(c)
    )
    return draw(paint, f"Reliability diagram: {bins or 'no samples'}", height=330)


def confusion_image(counts_KK: Ints, names: Sequence[str]) -> Markup:
    """A confusion matrix of many classes; names at the axes while they can be read (to 100 classes)."""
    classes = len(counts_KK)
    share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        pixels = np.empty((classes, classes, 4))
        pixels[:] = (0.85, 0.37, 0.0, 0.0)
        pixels[np.arange(classes), np.arange(classes), :3] = (0.25, 0.53, 0.78)
        pixels[..., 3] = depth(share_KK)
        axes.imshow(pixels, interpolation="none")
        axes.grid(visible=False)
        if classes <= 100:
            size = float(np.clip(760 / classes, 6.5, 11))
            shown = [label(name, 16) for name in names]
            axes.set_xticks(range(classes), shown, rotation=90, fontsize=size)
            axes.set_yticks(range(classes), shown, fontsize=size)
        axes.spines[["top", "right"]].set_visible(True)
        axes.set(xlabel="predicted", ylabel="true")

    side = int(np.clip(classes * 9.5 + 90, 460, 1040))
    alt = f"Confusion matrix of {classes} classes, shares of each row; the table below has the most frequent ones"
    return draw(paint, alt, width=side, height=side)


def depth(share: Floats) -> Floats:
    """Opacity of a share: its square root, so that rare confusions are seen."""
    return np.sqrt(share)


def precision_recall_curves(found: Sequence[tuple[str, Floats, Floats, float]]) -> Markup:
    """(label, precision, recall, average precision) of up to 8 labels."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (name, precision, recall, score) in enumerate(found[: len(SERIES)]):
            x, y = thinned(recall[::-1], precision[::-1], 300)
            text = f"{label(name, 16)} {share(score)}"
            axes.plot(x, y, color=SERIES[i], linestyle=DASHES[i], linewidth=1.5, drawstyle="steps-pre", label=text)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        legend(axes, columns=2)
        readable(axes.xaxis)
        readable(axes.yaxis)

    words = ", ".join(f"{name} {share(score)}" for name, _, _, score in found)
    return draw(
        paint, f"Precision against recall, average precision: {words}", height=260 + 15 * ((len(found) + 1) // 2)
    )


def predicted_against_true(truth_N: Floats, predicted_N: Floats, name: str) -> Markup:
    """Each sample a point; on the diagonal where the prediction is right."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        everything = np.concatenate([truth_N, predicted_N])
        low, high = float(everything.min()), float(everything.max())
        edge = 0.04 * (high - low) or 1.0
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        _scatter(axes, truth_N, predicted_N)
        axes.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge))
        axes.set(xlabel=f"true {label(name)}", ylabel="predicted")
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"Predicted against true {name} of {len(truth_N)} samples", height=300)


def residuals_against_predicted(truth_N: Floats, predicted_N: Floats, name: str) -> Markup:
    """Each sample a point; a pattern here is something the model has not learnt."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        _scatter(axes, predicted_N, predicted_N - truth_N)
        axes.set(xlabel=f"predicted {label(name)}", ylabel="predicted − true")
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"Residuals against predicted {name} of {len(truth_N)} samples", height=300)


def residual_histogram(truth_N: Floats, predicted_N: Floats, name: str) -> Markup:
    """How large the errors are, and to which side."""
    residual_N = predicted_N - truth_N
    low, middle, high = np.quantile(residual_N, (0.05, 0.5, 0.95))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        bins = int(np.clip(np.sqrt(len(residual_N)) * 1.5, 8, 40))
        axes.hist(residual_N, bins=bins, color=SERIES[0], alpha=0.55, edgecolor=PAGE, linewidth=0.8)
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.axvline(middle, color=SERIES[1], linewidth=1.6, label=f"median {number(float(middle), 3)}")
        axes.set(xlabel=f"predicted − true {label(name)}", ylabel="samples")
        legend(axes)
        readable(axes.xaxis)
        readable(axes.yaxis, whole=True)

    words = f"median {number(float(middle))}, nine of ten between {number(float(low))} and {number(float(high))}"
    return draw(paint, f"Histogram of residuals of {name}: {words}", height=300)


def importance(rows: Sequence[tuple[str, float, float]]) -> Markup:
    """(column, mean fall of the score when shuffled, standard deviation), most important first."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        place, mean, spread = np.arange(len(rows)), [row[1] for row in rows], [row[2] for row in rows]
        axes.barh(place, mean, height=0.66, color=SERIES[0], alpha=0.6)
        known = np.isfinite(spread)
        axes.errorbar(
            np.array(mean)[known], place[known], xerr=np.array(spread)[known], fmt="none", ecolor=INK, elinewidth=1.1
        )
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(place, [label(row[0]) for row in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("fall of the score when shuffled")
        readable(axes.xaxis)

    words = ", ".join(f"{name} {number(mean, 3)}" for name, mean, _ in rows[:8])
    return draw(paint, f"Importance by permutation: {words}", height=70 + 22 * len(rows))


def gradient_flow(rows: Sequence[tuple[str, float]]) -> Markup:
    """(parameter, norm of gradient / norm of parameter) from the input to the output; all greater than zero."""
    ratios = [ratio for _, ratio in rows]
    ends = f"{rows[0][0]} {number(rows[0][1], 2)}, {rows[-1][0]} {number(rows[-1][1], 2)}"
    alt = f"Gradient norm over weight norm of {len(rows)} parameters by depth: {ends}; least {number(min(ratios), 2)}"
    paint, height = _gradient_flow(rows)
    return draw(paint, alt, height=height)


def gradient_flow_png(rows: Sequence[tuple[str, float]]) -> bytes:
    """The same as a PNG file."""
    paint, height = _gradient_flow(rows)
    return draw_png(paint, height=height)


def _gradient_flow(rows: Sequence[tuple[str, float]]) -> tuple[Callable[[Figure], None], int]:
    """What paints it, and the height it needs."""
    ratios = np.array([ratio for _, ratio in rows])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        place = np.arange(len(rows))
        low = 10.0 ** np.floor(np.log10(ratios.min()) - 0.1)
        high = 10.0 ** np.ceil(np.log10(ratios.max()) + 0.1)
        few = len(rows) <= 40
        axes.hlines(place, low, ratios, color="C0", linewidth=1.5 if few else 0.8, alpha=0.5)
        axes.plot(ratios, place, "o", color="C0", markersize=5 if few else 3)
        named: list[int] = list(range(len(rows)))
        if not few:  # too many to name each
            named = np.unique(np.linspace(0, len(rows) - 1, 12).round().astype(int)).tolist()
        axes.set_yticks(named, [label(rows[i][0].removesuffix(".weight"), 32) for i in named])
        axes.grid(visible=not few, axis="y")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_xlabel("gradient norm / weight norm")
        readable(axes.xaxis)

    return paint, 70 + (22 * len(rows) if len(rows) <= 40 else 330)


def thinned(x: Floats, y: Floats, most: int = 1000) -> Points:
    """Every n-th point and the last, so that at most about ``most`` are drawn."""
    every = -(-len(x) // most)
    if every <= 1:
        return x, y
    kept = np.unique(np.append(np.arange(0, len(x), every), len(x) - 1))
    return x[kept], y[kept]


def _scatter(axes, x: Floats, y: Floats) -> None:  # type: ignore[no-untyped-def]  # matplotlib is imported late
    many = len(x) > AS_PIXELS
    axes.plot(
        x,
        y,
        "o",
        color=BETWEEN if many else SERIES[0],
        alpha=float(np.clip(30 / np.sqrt(len(x)), 0.06, 0.6)),
        markersize=3 if many else 4.5,
        markeredgewidth=0,
        rasterized=many,
    )
