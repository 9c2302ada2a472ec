"""A range test of the learning rate (Smith 2017, arXiv 1506.01186): the rate grows step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lamina.data.streams import Stream
from lamina.errors import TrainingError
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.loop import fit

LOW, HIGH = 1e-6, 1.0
SMOOTHING = 0.9
"""share of the mean before in the running mean of the loss"""
DIVERGED = 4.0
"""times the lowest mean loss at which the test ends"""


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """running means of the loss, bias-corrected, at these rates"""
    rate: float
    """the suggestion: a tenth of the rate of the lowest loss, or where it fell fastest if that is lower"""


def range_test(engine: Engine, streams: Mapping[str, Stream], *, low: float = LOW, high: float = HIGH) -> RangeTest:
    """Train with a rate that grows exponentially from ``low`` to ``high``, over the steps of the engine's recipe.

    The engine and its weights are used up: give one made for the test, with a constant schedule and its length in
    steps. Raises TrainingError where the loss is not finite from the start.
    """
    steps = engine.recipe.length[1]
    growth = (high / low) ** (1 / max(steps - 1, 1))
    groups = [(group, group["base_lr"]) for optimiser in engine.optimisers.values() for group in optimiser.param_groups]
    rates: list[float] = []
    losses: list[float] = []
    mean, rate = 0.0, low
    _set(groups, rate / engine.recipe.lr)
    try:
        for event in fit(engine, streams):
            if not isinstance(event, StepDone):
                continue
            loss = float(next(iter(event.logs.values())))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            rates.append(rate)
            losses.append(mean / (1 - SMOOTHING ** len(rates)))
            if len(losses) > 10 and losses[-1] > DIVERGED * abs(min(losses)):
                break
            rate *= growth
            _set(groups, rate / engine.recipe.lr)
    except TrainingError:
        if len(losses) < 10:
            raise
    return RangeTest(tuple(rates), tuple(losses), suggested(rates, losses))


def suggested(rates: list[float], losses: list[float]) -> float:
    """The rate that a curve suggests, rounded to two digits."""
    lowest = min(range(len(losses)), key=losses.__getitem__)
    drops = [(losses[i + 1] - losses[i - 1], i) for i in range(1, max(lowest, 2)) if i + 1 < len(losses)]
    steepest = min(drops)[1] if drops else lowest
    rate = min(rates[lowest] / 10, rates[steepest]) if lowest else rates[0]
    return float(f"{rate:.1e}") if math.isfinite(rate) else rates[0]


def _set(groups: list[tuple[dict[str, float], float]], factor: float) -> None:
    for group, base in groups:
        group["base_lr"] = base * factor
