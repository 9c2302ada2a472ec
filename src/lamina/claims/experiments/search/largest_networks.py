"""Taking the largest networks is hard to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.claims.tiny_space import accuracies, accuracy, parameters, space, spearman
from lamina.report.svg import SERIES, readable
from lamina.search.strategies import drive, strategy_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class LargestSettings(Settings):
    queries: int = 25
    """distinct cells of the 125"""
    searches: int = 100
    """of a seed, of random search"""


def measure(settings: LargestSettings, seed: int) -> Measurement:
    cells, best = accuracies(), max(accuracies().values())
    draws = Random(seed)
    order = sorted(cells, key=lambda cell: (-parameters(cell), draws.random()))  # equally large ones by lot
    largest = best - max(cells[cell] for cell in order[: settings.queries])
    found = [
        max(
            trial.scores[0]
            for trial in drive(
                strategy_named("random"),
                space(),
                accuracy,
                trials=settings.queries,
                seed=seed * settings.searches + search,
            )
            if trial.scores is not None
        )
        for search in range(settings.searches)
    ]
    sizes, values = [float(parameters(cell)) for cell in cells], list(cells.values())
    numbers = {
        "share": largest / (best - float(np.mean(found))),
        "correlation": spearman(sizes, values),
        "largest": largest,
        "random": best - float(np.mean(found)),
    }
    return Measurement(numbers=numbers, arrays={"sizes": np.array(sizes), "values": np.array(values)})


def figure(figure: Figure, settings: LargestSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    axes.plot(measured[0].arrays["sizes"], measured[0].arrays["values"], "o", color=SERIES[0], alpha=0.6, markersize=5)
    axes.set(xlabel="weights of the cell's operations", ylabel="accuracy")
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="largest-networks",
    sentence="Training the networks with the most parameters finds a better one than random search of the same length: "
    "what a search must beat.",
    source="Dong & Yang, NAS-Bench-201: extending the scope of reproducible neural architecture search, ICLR 2020: its "
    "table; White, Khodak, Tu, Shah, Bubeck & Dey, A deeper look at zero-cost proxies for lightweight NAS, ICLR Blog "
    "Track 2022",
    arxiv="2001.00326",
    settings=LargestSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="share", at_most=0.5, why="at most half as far from the best cell"),
        Bar(number="correlation", at_least=0.4, why="a rank correlation that is plainly there"),
    ),
    names={
        "share": "distance from the best cell, the largest / random search",
        "correlation": "rank correlation of parameters and accuracy",
        "largest": "accuracy short of the best cell's, among the largest",
        "random": "accuracy short of the best cell's, random search",
    },
    figure=figure,
    caption="Accuracy and size of the 125 cells",
    reading="Size and accuracy correlate by {correlation} (ranks). The best of the {setting.queries} largest cells is "
    "{largest} short of the best, of {setting.queries} at random {random}. On NAS-Bench-201 it is the same: see "
    "benchmarks/results.",
)
