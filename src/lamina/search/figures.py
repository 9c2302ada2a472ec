"""Figures of a search, each an SVG element with alternative text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from lamina.report.svg import INK, MUTED, RULE, SERIES, draw, legend, readable
from lamina.report.wording import rounded
from lamina.search.cells import Edge
from lamina.search.space import Point, Space, shown
from lamina.search.trials import Objective

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def running_best(scores: Sequence[float | None]) -> list[float | None]:
    """The best score so far after each trial; None before the first."""
    best: float | None = None
    found = []
    for score in scores:
        if score is not None and (best is None or score > best):
            best = score
        found.append(best)
    return found


def expected_best(scores: Sequence[float | None]) -> list[float]:
    """The expected best of k of the scores, drawn without replacement, for k = 1, 2, ...: what a random search finds.

    A trial without a score counts as one, and finds nothing: the least of the others stands for it.
    """
    known = [score for score in scores if score is not None]
    if not known:
        return []
    ordered = np.sort([min(known) if score is None else score for score in scores])
    n, found = len(ordered), []
    for k in range(1, n + 1):
        weights = np.zeros(n)  # of the i-th least to be the greatest of k: C(i, k - 1) / C(n, k)
        weights[k - 1] = 1.0
        for i in range(k, n):
            weights[i] = weights[i - 1] * i / (i - k + 1)
        found.append(float(ordered @ weights / weights.sum()))
    return found


def best_so_far(goal: Objective, scores: Sequence[float | None], random: Sequence[float | None]) -> Markup:
    """The best value after each trial, beside what random points are expected to find."""
    sign = 1 if goal.maximize else -1
    found = [(i, sign * score) for i, score in enumerate(running_best(scores), 1) if score is not None]
    curve = [sign * score for score in expected_best(random)]
    last = f", random {rounded(curve[-1])}" if curve else ""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        own = [(i, sign * score) for i, score in enumerate(scores, 1) if score is not None]
        axes.plot([i for i, _ in own], [v for _, v in own], ".", color=MUTED, markersize=5, label="each trial")
        axes.step([i for i, _ in found], [v for _, v in found], where="post", color=SERIES[0], label="search")
        if curve:
            marker = "o" if len(curve) == 1 else ""
            axes.plot(range(1, len(curve) + 1), curve, "--", color=SERIES[1], label="random", marker=marker)
        legend(axes)
        values = [v for _, v in own] + curve
        low, high = np.quantile(values, 0.1 if goal.maximize else 0), np.quantile(values, 1 if goal.maximize else 0.9)
        if high > low:
            axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
        axes.set_xlabel("trial")
        axes.set_xlim(0.5, max(len(scores), len(curve)) + 0.5)
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    words = f"{rounded(found[0][1])} to {rounded(found[-1][1])}" if found else "none"
    return draw(paint, f"Best {goal.name} so far over {len(scores)} trials: {words}{last}")


def learning_curves(goal: Objective, curves: Mapping[int, tuple[Mapping[int, float], str]]) -> Markup:
    """The best value so far of each trial by epoch; those that were pruned end early."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for curve, state in curves.values():
            epochs = sorted(curve)
            pruned = state == "pruned"
            axes.plot(
                epochs,
                [curve[epoch] for epoch in epochs],
                "--" if pruned else "-",
                color=MUTED if pruned else SERIES[0],
                linewidth=1,
                alpha=0.7,
            )
        axes.set_xlabel("epoch")
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    pruned = sum(state == "pruned" for _, state in curves.values())
    return draw(paint, f"{goal.name} by epoch of {len(curves)} trials, {pruned} of them pruned")


def front(first: Objective, other: Objective, points: Sequence[tuple[float, float, bool]]) -> Markup:
    """Two objectives of each trial; those of the front are emphasised."""
    chosen = sorted((b, a) for a, b, on in points if on)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        rest = [(b, a) for a, b, on in points if not on]
        axes.plot([x for x, _ in rest], [y for _, y in rest], ".", color=MUTED, markersize=5, label="other trials")
        step = "steps-pre" if other.maximize else "steps-post"  # what is reached within so much of the other
        axes.plot(
            [x for x, _ in chosen], [y for _, y in chosen], "-o", color=SERIES[0], markersize=5, label="front",
            drawstyle=step,
        )  # fmt: skip
        values = [b for _, b, _ in points]
        if min(values) > 0 and max(values) > 20 * min(values):
            axes.set_xscale("log")
        legend(axes)
        axes.set_xlabel(other.name)
        axes.set_ylabel(first.name)
        readable(axes.xaxis)
        readable(axes.yaxis)

    return draw(paint, f"{first.name} against {other.name}: {len(chosen)} of {len(points)} trials on the Pareto front")


def importances(shares: Mapping[str, float]) -> Markup:
    """A bar for each decision."""
    names = list(shares)[:12]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(names[::-1], [shares[name] for name in names[::-1]], color=SERIES[0], height=0.6)
        axes.grid(axis="y", visible=False)
        readable(axes.xaxis)

    words = ", ".join(f"{name} {shares[name]:.2f}" for name in names)
    return draw(paint, f"Importance of the decisions: {words}", height=max(120, 60 + 26 * len(names)))


def parallel(space: Space, goal: Objective, lines: Sequence[tuple[Point, float]]) -> Markup:
    """A line for each trial through its values of the decisions, the first objective last; darker is better."""
    names = [decision.name for decision in space.decisions]
    scores = [score for _, score in lines]
    low, high = min(scores), max(scores)

    def share(score: float) -> float:
        return (score - low) / (high - low) if high > low else 1.0

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        order = sorted(range(len(lines)), key=lambda i: lines[i][1])
        for place, i in enumerate(order):
            point, score = lines[i]
            heights = [space[name].position(point[name]) if name in point else np.nan for name in names]
            best = place == len(order) - 1
            axes.plot(
                range(len(names) + 1),
                [*heights, share(score)],
                color=SERIES[1] if best else SERIES[0],
                linewidth=2.2 if best else 1,
                alpha=1 if best else 0.1 + 0.6 * share(score) ** 2,
            )
        axes.set_xticks(range(len(names) + 1), [*names, goal.name], rotation=20 if len(names) > 4 else 0)
        axes.set_yticks([])
        axes.set_ylim(-0.12, 1.12)
        axes.grid(axis="x", color=RULE)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        sign = 1 if goal.maximize else -1
        ends: list[tuple[str, str]] = [_ends(space, name) for name in names]
        ends.append((rounded(sign * low), rounded(sign * high)))
        for x, (bottom, top) in enumerate(ends):
            axes.annotate(bottom, (x, -0.04), ha="center", va="top", color=MUTED, fontsize=8)
            axes.annotate(top, (x, 1.04), ha="center", va="bottom", color=MUTED, fontsize=8)

    width = max(560, 110 * (len(names) + 1))
    return draw(paint, f"{len(lines)} trials across {', '.join(names)} and {goal.name}", width=width, height=300)


def _ends(space: Space, name: str) -> tuple[str, str]:
    decision: Any = space[name]
    values = getattr(decision, "values", None)
    ends = (values[0], values[-1]) if values else (decision.low, decision.high)
    return shown(ends[0]), shown(ends[1])


def _bend(reach: int) -> float:
    """How far an arc over so many nodes bends, as a share of its length."""
    return 0.28 if reach == 1 else 0.45


def cell(name: str, edges: Sequence[Edge]) -> Markup:
    """A cell as a graph: nodes from left to right, an arc for each operation; those that do nothing are left out."""
    alive = [edge for edge in edges if edge[2] != "none"]
    last = max((target for _, target, _ in edges), default=0)
    targets = {target for _, target, _ in edges}
    inputs = [node for node in range(last + 1) if node not in targets]
    kinds = list(dict.fromkeys(operation for _, _, operation in alive))

    def paint(figure: Figure) -> None:
        from matplotlib.patches import FancyArrowPatch

        axes = figure.subplots()
        places = {node: (float(node), 0.0) for node in range(last + 1)}
        side = 1.0
        seen: dict[tuple[int, int], int] = {}
        for source, target, operation in alive:
            side = -side
            again = seen.setdefault((source, target), 0)
            seen[source, target] += 1
            reach = target - source
            bend = side * _bend(reach) * (1 + 0.5 * again)
            arrow = FancyArrowPatch(
                places[source],
                places[target],
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>",
                mutation_scale=9,
                shrinkA=9,
                shrinkB=9,
                linewidth=1.4,
                color=SERIES[kinds.index(operation) % len(SERIES)],
            )
            axes.add_patch(arrow)
            middle, height = (source + target) / 2, -bend * reach / 2  # of the arc, as axes are of one scale
            axes.annotate(
                operation, (middle, height + np.sign(height) * 0.09), ha="center", va="center", fontsize=8, color=INK
            )
        for node, (x, y) in places.items():
            axes.plot([x], [y], "o", markersize=16, color=MUTED if node in inputs else SERIES[0], alpha=0.35)
            axes.annotate(str(node), (x, y), ha="center", va="center", fontsize=9, color=INK)
        axes.set_ylim(-reached, reached)
        axes.set_xlim(-0.4, last + 0.4)
        axes.set_aspect("equal")
        axes.axis("off")

    pairs = [(source, target) for source, target, _ in alive]
    highest = [_bend(t - s) * (t - s) / 2 * (1 + 0.5 * (pairs.count((s, t)) - 1)) for s, t in pairs]
    reached = max(highest, default=0.0) + 0.3
    width = max(380, 120 * (last + 1))
    words = ", ".join(f"{source} to {target} {operation}" for source, target, operation in alive) or "no operations"
    return draw(paint, f"{name}: {words}", width=width, height=round(width * 2 * reached / (last + 0.8)) + 20)
