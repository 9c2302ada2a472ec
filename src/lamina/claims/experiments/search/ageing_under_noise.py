"""Evolution that lets the oldest die is not led astray by lucky evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.randomness import derive
from lamina.report.svg import SERIES, legend, readable
from lamina.search.space import Space
from lamina.search.strategies import Evolution, Finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class AgeingSettings(Settings):
    bits: int = 100
    noise: float = 0.08
    """standard deviation of an evaluation; a bit is worth 0.01"""
    population: int = 50
    tournament: int = 25
    trials: int = 1500
    runs: int = 3
    """of each kind and seed, averaged"""
    last: int = 100
    """trials at the end whose true fitness is averaged"""


def run(settings: AgeingSettings, seed: int, ageing: bool, noise: float) -> list[float]:
    """The true fitness, the share of ones, of each trial."""
    space = Space.of({f"bit_{i}": [0, 1] for i in range(settings.bits)})
    strategy = Evolution(population=settings.population, tournament=settings.tournament, ageing=ageing)
    random = Random(derive(seed, "noise"))
    finished: list[Finished] = []
    truth = []
    for number in range(settings.trials):
        point = strategy.propose(space, seed, number, finished).point
        truth.append(sum(point.values()) / settings.bits)
        finished.append(Finished(number, point, (truth[-1] + random.gauss(0, noise),)))
    return truth


def measure(settings: AgeingSettings, seed: int) -> Measurement:
    arrays = {}
    for name, ageing in (("ageing", True), ("elitist", False)):
        for suffix, noise in (("", settings.noise), ("_exact", 0.0)):
            runs = [run(settings, derive(seed, number), ageing, noise) for number in range(settings.runs)]
            arrays[name + suffix] = np.mean(runs, axis=0)
    ends = {name: fmean(values[-settings.last :].tolist()) for name, values in arrays.items()}
    numbers = {**ends, "gain": (ends["ageing"] - 0.5) / max(ends["elitist"] - 0.5, 1e-3)}
    return Measurement(numbers=numbers, arrays=arrays)


def figure(figure: Figure, settings: AgeingSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    window = np.ones(50) / 50
    for i, (name, word) in enumerate((("ageing", "the oldest dies"), ("elitist", "the worst dies"))):
        for suffix, style in (("", "-"), ("_exact", ":")):
            mean = np.convolve(np.mean([one.arrays[name + suffix] for one in measured], axis=0), window, "valid")
            noise = ", without noise" if suffix else ""
            axes.plot(np.arange(len(mean)), mean, style, color=SERIES[i], label=f"{word}{noise}")
    axes.set(xlabel="trial", ylabel="true fitness")
    legend(axes, columns=2)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="ageing-under-noise",
    sentence="Where evaluations are noisy, evolution in which the oldest dies goes further than one in which the worst "
    "dies: what was lucky once does not stay.",
    source="Real, Aggarwal, Huang & Le, Regularized evolution for image classifier architecture search, AAAI 2019",
    arxiv="1802.01548",
    loose="“Ageing is better”: without noise it is not.",
    settings=AgeingSettings(),
    measure=measure,
    universal=False,
    bars=(Bar(number="gain", at_least=1.2, why="a fifth more than the other has gained"),),
    names={
        "gain": "gain in true fitness over random bits, ageing / elitist",
        "ageing": "true fitness of the last trials, the oldest dies",
        "elitist": "true fitness of the last trials, the worst dies",
        "ageing_exact": "the same without noise, the oldest dies",
        "elitist_exact": "the same without noise, the worst dies",
    },
    figure=figure,
    caption="True fitness by trial, a mean over seeds, smoothed over 50 trials",
    reading="OneMax with {setting.bits} bits, each worth 0.01, noise of {setting.noise}: after {setting.trials} trials "
    "the last {setting.last} have {ageing} of the bits right where the oldest dies, {elitist} where the worst does; "
    "without noise {ageing_exact} and {elitist_exact}.",
)
