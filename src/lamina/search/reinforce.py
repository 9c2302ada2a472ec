"""REINFORCE: a policy over the decisions, improved by the gradient of its expected score (Zoph & Le, ICLR 2017)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Literal, Protocol

from lamina.errors import UsageError
from lamina.randomness import derive
from lamina.search.space import Point, Space
from lamina.search.strategies import Finished, Prefix, Proposal, scored

CELLS = 8
"""a range is divided into so many cells, one of which is chosen"""


class Policy(Protocol):
    """A distribution over points that can be improved."""

    def probabilities(self, cells: Sequence[int]) -> Sequence[float]:
        """Of the cells of the next decision, after the choices made so far: ``cells`` has one for each decision
        before, -1 where it was not made."""

    def update(self, cells: Sequence[int], advantage: float) -> None:
        """One step up the gradient of advantage times log-probability of a point."""


@dataclass(frozen=True, kw_only=True)
class Reinforce:
    """REINFORCE with an average of the scores as baseline, and a bonus for the policy's entropy.

    The ``softmax`` controller has logits of their own for each decision, 1e-3 times a normal draw at the beginning; the
    ``lstm`` reads the choices before each. One step of Adam for each finished trial, in order of their numbers. Of a
    range one of eight cells is chosen, and a number uniform in it.
    """

    rate: float | None = None
    """reinforce: learning rate of Adam (default: 0.1; of the lstm 0.003)"""
    baseline_decay: float = 0.9
    """reinforce: decay of the average of scores that is the baseline"""
    entropy: float = 0.0
    """reinforce: weight of the policy's entropy, in units of the score"""
    controller: Literal["softmax", "lstm"] = "softmax"
    """reinforce: the policy: logits for each decision, or an LSTM over them"""

    several: ClassVar[bool] = False
    _states: Prefix = field(default_factory=Prefix, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"rate must be greater than 0, got {self.rate}")
        if not 0 <= self.baseline_decay < 1:
            raise UsageError(f"baseline_decay must lie in [0, 1), got {self.baseline_decay}")
        if self.entropy < 0:
            raise UsageError(f"entropy must not be negative, got {self.entropy}")

    def propose(
        self,
        space: Space,
        seed: int,
        number: int,
        finished: Sequence[Finished],
        *,
        pending: Collection[str] = (),
        attempt: int = 0,
        objectives: int = 1,
    ) -> Proposal:
        state = self._states.state((space, seed), scored(finished), lambda: _State(self, space, seed), _State.add)
        random = Random(derive(seed, "reinforce", number, attempt))
        point: dict[str, Any] = {}
        cells: list[int] = []
        for decision, amount in zip(space.decisions, state.amounts, strict=True):
            if not space.asks_for(decision, point):
                cells.append(-1)
                continue
            cell = _draw(state.policy.probabilities(cells), random)
            cells.append(cell)
            point[decision.name] = decision.in_cell(cell, amount, random)
        return Proposal(point)

    def policy(self, amounts: Sequence[int], seed: int) -> Policy:
        """A policy at the beginning."""
        if self.controller == "lstm":
            from lamina.search.controller import LSTMPolicy

            return LSTMPolicy(amounts, seed, self.rate or 0.003, self.entropy)
        return SoftmaxPolicy(amounts, seed, self.rate or 0.1, self.entropy)


class _State:
    """The policy and the baseline after some trials."""

    def __init__(self, options: Reinforce, space: Space, seed: int) -> None:
        self.space, self.decay = space, options.baseline_decay
        self.amounts = [decision.cells(CELLS) for decision in space.decisions]
        self.policy = options.policy(self.amounts, seed)
        self.mean, self.steps = 0.0, 0

    def add(self, trial: Finished) -> None:
        """The update of one trial: its score against the average of those before and its own."""
        assert trial.scores is not None
        score = trial.scores[0]
        self.steps += 1
        self.mean = self.decay * self.mean + (1 - self.decay) * score
        baseline = self.mean / (1 - self.decay**self.steps)
        self.policy.update(self.cells(trial.point), score - baseline)

    def cells(self, point: Point) -> list[int]:
        return [
            decision.cell_of(point[decision.name], amount) if decision.name in point else -1
            for decision, amount in zip(self.space.decisions, self.amounts, strict=True)
        ]


class SoftmaxPolicy:
    """Logits of their own for each decision, improved by Adam."""

    def __init__(self, amounts: Sequence[int], seed: int, rate: float, entropy: float) -> None:
        random = Random(derive(seed, "reinforce", "logits"))
        self.logits = [[random.gauss(0, 1e-3) for _ in range(amount)] for amount in amounts]
        self.rate, self.entropy, self.steps = rate, entropy, 0
        self._first = [[0.0] * amount for amount in amounts]
        self._second = [[0.0] * amount for amount in amounts]

    def probabilities(self, cells: Sequence[int]) -> list[float]:
        return softmax(self.logits[len(cells)])

    def update(self, cells: Sequence[int], advantage: float) -> None:
        self.steps += 1
        scale_1, scale_2 = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        for i, cell in enumerate(cells):
            p = softmax(self.logits[i])
            entropy = -sum(q * math.log(q) for q in p if q > 0) if self.entropy else 0.0
            for j, q in enumerate(p):
                up = 0.0
                if cell >= 0:
                    up = advantage * ((j == cell) - q)
                    if self.entropy and q > 0:
                        up -= self.entropy * q * (math.log(q) + entropy)
                m = self._first[i][j] = 0.9 * self._first[i][j] + 0.1 * up
                v = self._second[i][j] = 0.999 * self._second[i][j] + 0.001 * up * up
                self.logits[i][j] += self.rate * (m / scale_1) / (math.sqrt(v / scale_2) + 1e-8)


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities of logits."""
    top = max(logits)
    powers = [math.exp(value - top) for value in logits]
    total = sum(powers)
    return [power / total for power in powers]


def _draw(probabilities: Sequence[float], random: Random) -> int:
    left = random.random()
    for cell, p in enumerate(probabilities):
        left -= p
        if left < 0:
            return cell
    return len(probabilities) - 1
