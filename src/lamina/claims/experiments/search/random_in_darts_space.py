"""Random search is a strong baseline for a differentiable search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.claims.tiny_darts import search
from lamina.claims.tiny_space import accuracies
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class BaselineSettings(Settings):
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = 50
    """of the differentiable search, as in the paper"""
    rate: float = 0.02
    """of the architecture"""
    cells: int = 8
    """drawn at random and trained alone, for 20 epochs of 600 digits: in samples 16/5 of the search's cost, in
    operations applied less, as the search applies five on each edge, and each twice"""


def expected_best(values: Sequence[float], count: int) -> float:
    """The expected best of ``count`` of the values drawn without replacement."""
    ordered, n = sorted(values), len(values)
    return sum(
        value * math.comb(i, count - 1) / math.comb(n, count) for i, value in enumerate(ordered) if i >= count - 1
    )


def measure(settings: BaselineSettings, seed: int) -> Measurement:
    found, alone = search(seed, settings.epochs, settings.rate), [*accuracies().values()]
    own, random = found.accuracy(settings.epochs), expected_best(alone, settings.cells)
    beaten = sum(value < own for value in alone) / len(alone)
    return Measurement(
        numbers={
            "ratio": (1 - own) / (1 - random),
            "accuracy": own,
            "random": random,
            "best": max(alone),
            "beaten": beaten,
        },
        arrays={
            "found": np.array([found.accuracy(epoch) for epoch in range(1, settings.epochs + 1)]),
            "curve": np.array([expected_best(alone, k) for k in range(1, 2 * settings.cells + 1)]),
        },
    )


def figure(figure: Figure, settings: BaselineSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    curve = measured[0].arrays["curve"]
    axes.plot(np.arange(1, len(curve) + 1), curve, color=SERIES[0], label="best of so many at random")
    for k, one in enumerate(measured):
        label = "" if k else "found by gradient"
        axes.axhline(one.numbers["accuracy"], color=SERIES[1], linestyle="--", label=label)
    axes.set(xlabel="cells drawn at random", ylabel="accuracy, trained alone")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="random-in-darts-space",
    sentence="A handful of cells drawn at random, the best of them, is as good as what a differentiable search finds "
    "at a like cost.",
    source="Li & Talwalkar, Random search and reproducibility for neural architecture search, UAI 2019",
    arxiv="1902.07638",
    loose="“Architecture search is no better than random”: of one search in one space; evolution does beat random on "
    "tables.",
    settings=BaselineSettings(),
    measure=measure,
    universal=False,
    bars=(Bar(number="ratio", at_least=0.95, why="no more than a twentieth fewer errors"),),
    names={
        "ratio": "error of the cell found by gradient over that of the best of the random ones",
        "accuracy": "accuracy of the cell found by gradient, trained alone",
        "random": "expected best accuracy of as many random cells",
        "best": "best accuracy of the space",
        "beaten": "share of all cells that the found one beats",
    },
    figure=figure,
    caption="Expected best accuracy of so many random cells, and the cells of the differentiable search",
    reading="The differentiable search ends with cells of accuracy {accuracy}, above {beaten} of the space; the best "
    "of {setting.cells} random ones has {random}, the best of all {best}.",
)
