"""Optuna's samplers as strategies: made anew for each trial, on a study of the finished ones, seeded by its number."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from lamina.errors import UsageError
from lamina.randomness import derive
from lamina.search.decisions import Choice, Decision, Range, plain
from lamina.search.space import Point, Space
from lamina.search.strategies import Finished, Proposal, scored, uniform

try:
    import optuna
except ImportError:
    raise UsageError("this strategy is Optuna's, which is not installed: pip install 'lamina[search]'") from None

optuna.logging.set_verbosity(optuna.logging.WARNING)


def distribution(decision: Decision) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution of a decision; the values of a choice are text, but for numbers and words."""
    if isinstance(decision, Range):
        if decision.integer:
            step = 1 if decision.step is None else int(decision.step)
            last = int(decision.low) + (int(decision.count) - 1) * step
            return optuna.distributions.IntDistribution(int(decision.low), last, log=decision.log, step=step)
        top = decision.high if decision.step is None else decision.low + (int(decision.count) - 1) * decision.step
        return optuna.distributions.FloatDistribution(decision.low, top, log=decision.log, step=decision.step)
    assert isinstance(decision, Choice)
    return optuna.distributions.CategoricalDistribution([encoded(decision, value) for value in decision.values])


def encoded(decision: Decision, value: Any) -> Any:
    """A value as Optuna takes it. Of a choice with lists, or with values that Python counts as equal (1, true), each is
    text."""
    if isinstance(decision, Range):
        return value
    assert isinstance(decision, Choice)
    values = decision.values
    scalar = all(isinstance(own, str | int | float | bool | None) for own in values)
    return value if scalar and len(set(values)) == len(values) else json.dumps(plain(value))


def decoded(decision: Decision, value: Any) -> Any:
    """What ``encoded`` was made from."""
    if isinstance(decision, Range):
        return int(value) if decision.integer else min(max(float(value), decision.low), decision.high)
    assert isinstance(decision, Choice)
    return next(own for own in decision.values if encoded(decision, own) == value)


def study_of(space: Space, finished: Sequence[Finished], objectives: int) -> optuna.Study:
    """An Optuna study, in memory, of the trials that have scores: for its samplers and importances."""
    study = optuna.create_study(directions=["maximize"] * objectives)
    distributions = {decision.name: distribution(decision) for decision in space.decisions}
    for trial in scored(finished):
        assert trial.scores is not None
        study.add_trial(
            optuna.trial.create_trial(
                state=_state(trial, objectives),
                values=trial.scores,
                params={name: encoded(space[name], value) for name, value in trial.point.items()},
                distributions={name: distributions[name] for name in trial.point},
                system_attrs=dict(trial.notes),
                intermediate_values={0: trial.scores[0]} if trial.pruned and objectives == 1 else None,
            )
        )
    return study


def _state(trial: Finished, objectives: int) -> optuna.trial.TrialState:
    pruned = trial.pruned and objectives == 1  # a pruned trial of several objectives counts with what it had reached
    return optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE


class _Makes(Protocol):
    def sampler(self, seed: int, space: Space) -> optuna.samplers.BaseSampler: ...


@dataclass(frozen=True, kw_only=True)
class OptunaStrategy:
    """The first trials at random, then Optuna's sampler."""

    startup: int = 10
    """tpe, gp: trials at random before the first that is modelled"""

    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.startup < 1:
            raise UsageError(f"startup must be at least 1, got {self.startup}")

    def sampler(self, seed: int, space: Space) -> optuna.samplers.BaseSampler:
        """Optuna's sampler, made for one trial."""
        raise NotImplementedError

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
        if len(scored(finished)) < self.startup:
            return uniform(space, seed, number, attempt)
        point, _ = self._asked(space, derive(seed, number, attempt), finished, objectives)
        return Proposal(point)

    def _asked(
        self, space: Space, seed: int, finished: Sequence[Finished], objectives: int
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # samplers that Optuna calls experimental
            study = study_of(space, finished, objectives)
            study.sampler = self.sampler(seed % 2**32, space)
            trial = study.ask()
            point: dict[str, Any] = {}
            for decision in space.decisions:
                if space.asks_for(decision, point):
                    point[decision.name] = decoded(decision, _suggested(trial, decision))
            attributes = dict(study.get_trials(deepcopy=False)[-1].system_attrs)
        return point, attributes


def _suggested(trial: optuna.Trial, decision: Decision) -> Any:
    own = distribution(decision)
    if isinstance(own, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(decision.name, own.choices)
    if isinstance(own, optuna.distributions.IntDistribution):
        return trial.suggest_int(decision.name, own.low, own.high, step=own.step, log=own.log)
    assert isinstance(own, optuna.distributions.FloatDistribution)
    return trial.suggest_float(decision.name, own.low, own.high, step=own.step, log=own.log)


@dataclass(frozen=True, kw_only=True)
class TPE(OptunaStrategy):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), with Optuna's defaults."""

    def sampler(self, seed: int, space: Space) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup)


@dataclass(frozen=True, kw_only=True)
class GP(OptunaStrategy):
    """Gaussian process with expected improvement."""

    def sampler(self, seed: int, space: Space) -> optuna.samplers.BaseSampler:
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=self.startup, deterministic_objective=False)


@dataclass(frozen=True, kw_only=True)
class NSGA2(OptunaStrategy):
    """NSGA-II (Deb et al., 2002): generations, for several objectives."""

    startup: int = 20
    """nsga2: trials in a generation; the first is drawn at random"""

    def __post_init__(self) -> None:
        if self.startup < 2:
            raise UsageError(f"startup must be at least 2, got {self.startup}")

    def sampler(self, seed: int, space: Space) -> optuna.samplers.BaseSampler:
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=self.startup)

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
        if len(scored(finished)) < self.startup:
            first = uniform(space, seed, number, attempt)
            return Proposal(first.point, random=True, notes={f"{_NSGA2_CLASS}:generation": 0})
        point, attributes = self._asked(space, derive(seed, number, attempt), finished, objectives)
        return Proposal(point, notes={key: value for key, value in attributes.items() if key.endswith(":generation")})


_NSGA2_CLASS = optuna.samplers.NSGAIISampler.__name__


def point_of(space: Space, params: Mapping[str, Any]) -> Point:
    """The point of Optuna's parameters."""
    return {name: decoded(space[name], value) for name, value in params.items()}
