"""Pruning: which trials are stopped early, from what all have reported. Scores are greater where a trial is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

from lamina.randomness import derive

Pruner = Literal["none", "median", "asha", "hyperband"]
PRUNERS = ("none", "median", "asha", "hyperband")
FACTOR = 3
"""of ASHA and Hyperband: one trial in so many goes on from a rung to the next, so many times as long"""
WARM = 5
"""of the median: trials that must have reported at an epoch"""

Curve = Mapping[int, float]
"""score by epoch: the best so far"""


def prunes(
    pruner: str, number: int, epoch: int, score: float, others: Mapping[int, Curve], *, seed: int, length: int
) -> bool:
    """Whether trial ``number``, whose best score at an epoch is ``score``, is to be stopped.

    ``others`` are the curves of other trials by number, finished or not; ``length`` is that of a whole training in
    epochs. ``median``: worse than the median of the others at this epoch, of which there must be five. ``asha``
    (Li et al., MLSys 2020): at epochs 1, 3, 9, ... not among the best third of those that came so far. ``hyperband``
    (Li et al., JMLR 2018): ASHA in brackets whose first rung is epoch 1, 3, 9, ...; the bracket of a trial is drawn
    from (seed, number).

    Example: ``prunes("median", 5, 1, 0.2, {i: {1: 0.5} for i in range(5)}, seed=0, length=10)`` is True.
    """
    if epoch >= length:
        return False
    if pruner == "median":
        seen = [curve[epoch] for curve in others.values() if epoch in curve]
        return len(seen) >= WARM and score < median(seen)
    if pruner == "asha":
        return _below_rung(epoch, score, list(others.values()), 1)
    if pruner == "hyperband":
        mine = bracket(seed, number, length)
        peers = [curve for other, curve in others.items() if bracket(seed, other, length) == mine]
        return _below_rung(epoch, score, peers, FACTOR**mine)
    return False


def _below_rung(epoch: int, score: float, others: Sequence[Curve], first: int) -> bool:
    if epoch not in rungs(first, epoch):
        return False
    scores = sorted([score, *(curve[epoch] for curve in others if epoch in curve)], reverse=True)
    return score < scores[max(len(scores) // FACTOR, 1) - 1]


def rungs(first: int, length: int) -> list[int]:
    """The epochs at which trials are compared: ``rungs(1, 10)`` is ``[1, 3, 9]``."""
    found = []
    while first <= length:
        found.append(first)
        first *= FACTOR
    return found


def bracket(seed: int, number: int, length: int) -> int:
    """Hyperband's bracket of a trial, 0 the one that stops most. Each has about as many epochs in all: bracket s of B
    is drawn with a probability in proportion to FACTOR^-s times the rungs it has."""
    count = len(rungs(1, length))
    weights = [FACTOR ** (count - s) // (count - s) for s in range(count)]
    place = derive(seed, "bracket", number) % sum(weights)
    for s, weight in enumerate(weights):
        place -= weight
        if place < 0:
            return s
    return count - 1
