"""Strategies: which point to try next. Each is a pure function of (seed, trial's number, finished trials).

    from lamina.search.strategies import drive, strategy_named
    trials = drive(strategy_named("evolution"), space, evaluate, trials=100, seed=0)
    best = max(trials, key=lambda trial: trial.scores[0])

Nothing is kept from one call to the next but what may be computed anew, so a search that is resumed goes on as one
that was never stopped. Scores are greater where a point is better.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, ClassVar, Protocol

from lamina.errors import UsageError, unknown
from lamina.options.conversion import made
from lamina.plugins import load
from lamina.randomness import derive
from lamina.search.space import Point, Space


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial that is over."""

    number: int
    point: Point
    scores: tuple[float, ...] | None
    """one of each objective, greater is better; of a pruned trial what it had reached; None: it failed"""
    pruned: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    """what the strategy noted when it proposed the point"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The next point to try."""

    point: dict[str, Any]
    random: bool = False
    """whether it was drawn uniformly from the space, whatever was found before"""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """plain values to be kept with the trial: ``Finished.notes``"""


class Strategy(Protocol):
    """What a search asks of a strategy."""

    @property
    def several(self) -> bool:
        """Whether it takes several objectives."""

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
        """The point of trial ``number``, from the ``finished`` trials in order of their numbers.

        ``pending``: the keys (``Space.key``) of points that are being measured. ``attempt`` counts proposals of this
        trial that were refused; another attempt draws anew.
        """


def scored(finished: Sequence[Finished]) -> list[Finished]:
    """The trials that have scores."""
    return [trial for trial in finished if trial.scores is not None]


def uniform(space: Space, seed: int, number: int, attempt: int = 0) -> Proposal:
    """A point drawn uniformly: the same for every strategy that begins at random."""
    return Proposal(space.sample(Random(derive(seed, "random", number, attempt))), random=True)


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """Each decision uniform."""

    several: ClassVar[bool] = True

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
        return uniform(space, seed, number, attempt)


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Regularised (ageing) evolution (Real et al., AAAI 2019): the population is the newest trials; the best of a
    tournament drawn with replacement is mutated in one decision. Without ageing the population is the best trials.

    With several objectives the tournament is won by a trial that no other of it dominates, the oldest of these.
    """

    population: int = 10
    """evolution: trials in the population; the first ones are drawn at random"""
    tournament: int = 10
    """evolution: trials drawn, with replacement, of which the best is the parent"""
    ageing: bool = True
    """evolution: the oldest trial dies; no: the worst"""

    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("population", "tournament"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")

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
        known = scored(finished)
        if len(known) < self.population:
            return uniform(space, seed, number, attempt)
        if self.ageing:
            alive = known[-self.population :]
        else:
            ranked = sorted(known, key=lambda trial: trial.scores or (), reverse=True)
            alive = ranked[: self.population]
        random = Random(derive(seed, "evolution", number, attempt))
        drawn = [alive[int(random.random() * len(alive))] for _ in range(self.tournament)]
        return Proposal(space.mutated(_winner(drawn).point, random))


def _winner(drawn: Sequence[Finished]) -> Finished:
    """The best trial; of several objectives the first that none dominates."""
    best = drawn[0]
    for trial in drawn[1:]:
        if dominates(trial.scores or (), best.scores or ()):
            best = trial
    return best


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether scores are nowhere less and somewhere greater."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def front(scores: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the scores that no other dominates: the Pareto front."""
    return [i for i, own in enumerate(scores) if not any(dominates(other, own) for other in scores)]


@dataclass(frozen=True, kw_only=True)
class LocalSearch:
    """Hill climbing: neighbours in random order, a step to the first that is better; from a local optimum it starts
    again at a random point."""

    several: ClassVar[bool] = False
    _steps: dict[Any, list[tuple[dict[str, Any], str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        """The walk is followed from its beginning, over points that are measured, to the first that is not."""
        values: dict[str, float] = {}
        for trial in finished:
            values.setdefault(space.key(trial.point), float("-inf") if trial.scores is None else trial.scores[0])
        waiting = {key: float("-inf") for key in pending if key not in values}
        passes = attempt
        for start in count():
            here = space.sample(Random(derive(seed, "local", "start", start)))
            key, climbing = space.key(here), True
            if key not in values and key not in waiting:
                if not passes:
                    return Proposal(here, random=True)
                passes -= 1
                continue
            while climbing:
                climbing, own = False, values.get(key, float("-inf"))
                for step, other in self._around(space, seed, here, key):
                    if other not in values and other not in waiting:
                        if not passes:
                            return Proposal(step)
                        passes -= 1
                    elif values.get(other, float("-inf")) > own:
                        here, key, climbing = step, other, True
                        break
            if start > 100 + 20 * len(values):  # every point that starts reach is measured
                break
        return uniform(space, seed, number, attempt)

    def _around(self, space: Space, seed: int, point: Point, key: str) -> list[tuple[dict[str, Any], str]]:
        """The neighbours of a point with their keys, in an order drawn for it."""
        place = (space, seed, key)
        if place not in self._steps:
            if len(self._steps) > 10_000:
                self._steps.clear()
            random = Random(derive(seed, "local", key))
            steps = [(step, space.key(step)) for step in space.neighbours(point, random)]
            random.shuffle(steps)
            self._steps[place] = steps
        return self._steps[place]


STRATEGIES: Mapping[str, str] = {
    "random": "lamina.search.strategies:RandomSearch",
    "evolution": "lamina.search.strategies:Evolution",
    "reinforce": "lamina.search.reinforce:Reinforce",
    "local": "lamina.search.strategies:LocalSearch",
    "tpe": "lamina.search.samplers:TPE",
    "nsga2": "lamina.search.samplers:NSGA2",
    "gp": "lamina.search.samplers:GP",
}
"""strategies by name; the last three are Optuna's"""


def strategy_named(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy with its options: ``strategy_named("evolution", {"population": 20})``. Raises UsageError."""
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    strategy: Strategy = made(load(STRATEGIES[name]), options or {}, f"option of {name}")
    return strategy


def drive(
    strategy: Strategy,
    space: Space,
    evaluate: Callable[[Point], float | Sequence[float]],
    *,
    trials: int,
    seed: int = 0,
    repeats: int = 1_000,
) -> list[Finished]:
    """Run a strategy on a function, without training or storage: the finished trials in order.

    ``trials`` is the number of distinct points that are evaluated; a point that was evaluated before has its value at
    once and is not counted. The search ends before where the space has no more points, or after so many ``repeats`` in
    a row. ``evaluate`` gives a score, or several; greater is better.

    Example: ``drive(RandomSearch(), space, lambda point: -point["x"] ** 2, trials=100)``
    """
    finished: list[Finished] = []
    known: dict[str, tuple[float, ...]] = {}
    row = 0
    while len(known) < min(trials, space.size) and row < repeats:
        number = len(finished)
        objectives = len(next(iter(known.values()))) if known else 1
        proposal = strategy.propose(space, seed, number, finished, objectives=objectives)
        key = space.key(proposal.point)
        row = row + 1 if key in known else 0
        if key not in known:
            value = evaluate(proposal.point)
            known[key] = tuple(value) if isinstance(value, Sequence) else (float(value),)
        finished.append(Finished(number, proposal.point, known[key], notes=proposal.notes))
    return finished


class Prefix:
    """Remembers a state that is a function of a growing list of trials, so that it is not computed from the first each
    time. The result is the same as without it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[object, list[Finished], Any]] = deque(maxlen=4)

    def state(
        self,
        key: object,
        trials: Sequence[Finished],
        begin: Callable[[], Any],
        add: Callable[[Any, Finished], None],
    ) -> Any:
        """The state after ``trials``; ``add`` changes it by one trial. It is not to be changed by the caller."""
        for entry in self._kept:
            known, done, state = entry
            if known == key and len(done) <= len(trials) and all(a is b for a, b in zip(done, trials)):  # noqa: B905
                break
        else:
            done, state = [], begin()
            self._kept.append((key, done, state))
        for trial in trials[len(done) :]:
            add(state, trial)
            done.append(trial)
        return state
