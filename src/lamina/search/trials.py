"""The trials of a search in its storage: asked for, reported, told, and taken up after a worker died."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from lamina.errors import RunError, UsageError
from lamina.search.samplers import distribution, encoded
from lamina.search.space import Point, Space
from lamina.search.storage import Lock, exclusive
from lamina.search.strategies import Finished, Proposal, RandomSearch, Strategy

State = Literal["running", "complete", "pruned", "failed"]
STATES: Mapping[Any, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
GRACE = 600
"""seconds without a sign of life after which a worker on another machine counts as dead"""
BEAT = 60
"""seconds between signs of life"""
ATTEMPTS = 100
"""proposals of one trial, of which the first that may be measured is taken"""
REPEATS = 200
"""proposals in a row of points that were measured before, after which a search ends"""


@dataclass(frozen=True)
class Objective:
    """What is optimised."""

    name: str
    maximize: bool

    def score(self, value: float) -> float:
        return value if self.maximize else -value


@dataclass(frozen=True)
class Trial:
    """One point and what came of it."""

    number: int
    point: Point
    state: State
    values: tuple[float, ...] | None = None
    """of the objectives; of a pruned trial what it had reached"""
    curve: Mapping[int, float] = field(default_factory=dict)
    """best value of the first objective, by epoch"""
    run: str = ""
    """name of its run in the search's folder; empty without one"""
    seconds: float = 0.0
    error: str = ""
    """why it failed"""
    repeats: int | None = None
    """the trial that measured this point before: its values are taken over"""
    copied: int | None = None
    """of the random trials: the trial of the search that measured this point"""
    random: bool = False
    """whether the point was drawn uniformly"""
    taken_up: int = 0
    """times that it was taken up after a worker died or was stopped"""
    notes: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    """other facts: parameters, macs, ..."""
    worker: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As ``lamina search --json`` prints it."""
        known: dict[str, Any] = {
            "number": self.number,
            "state": self.state,
            "point": dict(self.point),
            "values": self.values,
        }
        known |= {"run": self.run or None, "seconds": self.seconds, **self.info}
        more = {"error": self.error, "repeats": self.repeats, "copied": self.copied, "taken_up": self.taken_up}
        none = {"error": "", "repeats": None, "copied": None, "taken_up": 0}
        return known | {key: value for key, value in more.items() if value != none[key]}


def none_within() -> UsageError:
    """For limits that no point keeps within."""
    return UsageError(
        f"none of {ATTEMPTS} points that were drawn keeps within the limits: raise --max-macs or --max-parameters"
    )


class Trials:
    """The trials of one study of a storage, for the workers of a folder.

    ``create`` makes the study or joins it: several processes may do so at once. Raises UsageError where the storage
    holds a search of this name that is another one.
    """

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: Space,
        objectives: Sequence[Objective],
        folder: Path,
        prefix: str = "trial",
    ) -> None:
        self.storage, self.name, self.space, self.folder, self.prefix = storage, name, space, folder, prefix
        self.objectives = tuple(objectives)
        self.study = -1

    def create(self, definition: Mapping[str, Any]) -> None:
        """Make the study, or join the one that is there. Raises UsageError for that of another search."""
        goals = [
            optuna.study.StudyDirection.MAXIMIZE if one.maximize else optuna.study.StudyDirection.MINIMIZE
            for one in self.objectives
        ]
        with exclusive(self.folder / ".locks" / "study"):
            try:
                self.study = self.storage.get_study_id_from_name(self.name)
            except KeyError:
                try:
                    self.study = self.storage.create_new_study(goals, self.name)
                except optuna.exceptions.DuplicatedStudyError:  # by another machine, just now
                    self.study = self.storage.get_study_id_from_name(self.name)
            found = self.storage.get_study_user_attrs(self.study).get("lamina")
            if found is None and not self.storage.get_all_trials(self.study, deepcopy=False):
                self.storage.set_study_user_attr(self.study, "lamina", dict(definition))
                return
        if found is None:
            raise UsageError(f"the storage holds a study '{self.name}' that is not of lamina: choose another --name")
        for key, value in definition.items():
            if found.get(key) != value:
                raise UsageError(
                    f"the storage holds the search '{self.name}' of another {key}: {_short(found.get(key))}, not "
                    f"{_short(value)}; choose another --name or --storage"
                )

    def all(self) -> list[Trial]:
        """All trials in order of their numbers."""
        return [self._trial(one) for one in self.storage.get_all_trials(self.study, deepcopy=False)]

    def _id(self, trial: Trial) -> int:
        """The storage's name for a trial."""
        return self.storage.get_trial_id_from_study_id_trial_number(self.study, trial.number)

    def _trial(self, one: FrozenTrial) -> Trial:
        kept = one.user_attrs
        result = kept.get("result", {})
        values = one.values if one.state is TrialState.COMPLETE else result.get("values")
        return Trial(
            number=one.number,
            point=kept.get("point", {}),
            state=STATES[one.state],
            values=None if values is None else tuple(values),
            curve=dict(one.intermediate_values),
            run=result.get("run", ""),
            seconds=result.get("seconds", 0.0),
            error=result.get("error", ""),
            repeats=kept.get("repeats"),
            copied=kept.get("copied"),
            random=kept.get("random", False),
            taken_up=kept.get("taken_up", 0),
            notes=kept.get("notes", {}),
            info=result.get("info", {}),
            worker=kept.get("worker", {}),
        )

    def finished(self, trials: Sequence[Trial]) -> list[Finished]:
        """What strategies see of the trials that are over."""
        return [
            Finished(one.number, one.point, self.scores(one), one.state == "pruned", one.notes)
            for one in trials
            if one.state != "running"
        ]

    def scores(self, trial: Trial) -> tuple[float, ...] | None:
        """The values of a trial, greater where it is better."""
        if trial.values is None:
            return None
        return tuple(own.score(value) for own, value in zip(self.objectives, trial.values, strict=True))

    def lock(self, number: int) -> Lock:
        """The lock that the worker of a trial holds."""
        return Lock(self.folder / ".locks" / f"{self.prefix}-{number:04d}")

    def run_name(self, number: int) -> str:
        return f"{self.prefix}-{number:04d}"

    def take(
        self,
        strategy: Strategy,
        seed: int,
        count: int,
        *,
        allowed: Callable[[Point], bool] | None = None,
        known: Mapping[str, Trial] | None = None,
    ) -> tuple[Trial, Lock] | None:
        """A trial to work on and its lock, held: one that a dead worker left, else a new one while there are fewer than
        ``count``; None where there is none to work on.

        Points that were measured before are recorded with what was measured, and not counted; points that are not
        ``allowed`` are not taken. ``known`` are those of another study by ``Space.key``: recorded, and counted.
        """
        with exclusive(self.folder / ".locks" / "take"):
            trials = self.all()
            for trial in trials:
                if trial.state == "running" and (lock := self._abandoned(trial)) is not None:
                    again = self._trial(self.storage.get_trial(self._id(trial)))
                    if again.state == "running" and again.point:
                        self.storage.set_trial_user_attr(self._id(again), "taken_up", again.taken_up + 1)
                        self.beat(again)
                        return again, lock
                    lock.release()
            while True:
                made = self._ask(trials, strategy, seed, count, allowed, known or {})
                if made is None:
                    return None
                trials.append(made)
                if made.state == "running":
                    lock = self.lock(made.number)
                    if not lock.take():
                        raise RunError(f"the lock of trial {made.number} is held by another process")
                    return made, lock

    def _abandoned(self, trial: Trial) -> Lock | None:
        """The lock of a running trial that nobody works on."""
        here = trial.worker.get("host") == socket.gethostname()
        if not here and time.time() - float(trial.worker.get("time", 0)) < GRACE:
            return None
        lock = self.lock(trial.number)
        return lock if lock.take() else None

    def _ask(
        self,
        trials: Sequence[Trial],
        strategy: Strategy,
        seed: int,
        count: int,
        allowed: Callable[[Point], bool] | None,
        known: Mapping[str, Trial],
    ) -> Trial | None:
        measured: dict[str, Trial] = {}
        for trial in trials:
            if trial.state != "running":
                measured.setdefault(self.space.key(trial.point), trial)
        pending = {self.space.key(trial.point) for trial in trials if trial.state == "running"}
        if sum(trial.repeats is None for trial in trials) >= count:
            return None
        if len(measured) + len(pending) >= self.space.size:
            return None
        row = 0
        for trial in reversed(trials):
            if trial.repeats is None:
                break
            row += 1
        if row >= REPEATS:
            return None  # the strategy proposes what it knows
        number, finished = len(trials), self.finished(trials)
        for attempt in range(ATTEMPTS):
            proposal = strategy.propose(
                self.space, seed, number, finished, pending=pending, attempt=attempt, objectives=len(self.objectives)
            )
            key = self.space.key(proposal.point)
            if key in measured:
                return self._add(number, proposal, measured[key], "repeats")
            if key in known:
                return self._add(number, proposal, known[key], "copied")
            if key not in pending and (allowed is None or allowed(proposal.point)):
                return self._add(number, proposal)
        if pending:
            return None  # what is left is being measured
        raise none_within()

    def _add(self, number: int, proposal: Proposal, same: Trial | None = None, how: str = "") -> Trial:
        """Record a trial, all of it at once: a killed worker leaves none without a point."""
        now = datetime.now(UTC)
        attributes: dict[str, Any] = {"point": proposal.point, "random": proposal.random, "worker": worker()}
        attributes |= {"notes": dict(proposal.notes)} if proposal.notes else {}
        state, values = TrialState.RUNNING, None
        if same is not None:
            attributes[how] = same.number
            attributes["result"] = {
                "run": same.run,
                "error": same.error,
                "info": dict(same.info),
                "values": same.values,
            }
            state = next(one for one, name in STATES.items() if name == same.state)
            values = list(same.values) if same.values is not None and state is TrialState.COMPLETE else None
        template = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=values,
            datetime_start=now,
            datetime_complete=None if same is None else now,
            params={name: encoded(self.space[name], value) for name, value in proposal.point.items()},
            distributions={name: distribution(self.space[name]) for name in proposal.point},
            user_attrs=attributes,
            system_attrs={},
            intermediate_values=dict(same.curve) if same is not None else {},
        )
        identity = self.storage.create_new_trial(self.study, template_trial=template)
        return self._trial(self.storage.get_trial(identity))

    def beat(self, trial: Trial) -> None:
        """Give a sign of life."""
        self.storage.set_trial_user_attr(self._id(trial), "worker", worker())

    def report(self, trial: Trial, epoch: int, value: float) -> None:
        """The best value of the first objective up to an epoch."""
        self.storage.set_trial_intermediate_value(self._id(trial), epoch, value)

    def curves(self) -> dict[int, dict[int, float]]:
        """The scores by epoch of all trials that were trained, by number."""
        goal = self.objectives[0]
        return {
            one.number: {epoch: goal.score(value) for epoch, value in one.curve.items()}
            for one in self.all()
            if one.repeats is None and one.state != "failed"
        }

    def tell(self, trial: Trial, state: State, values: Sequence[float] | None, **result: Any) -> Trial:
        """End a trial, once."""
        if values is not None:
            result["values"] = list(values)
        self.storage.set_trial_user_attr(self._id(trial), "result", result)
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self.storage.set_trial_state_values(
            self._id(trial), told, list(values) if state == "complete" and values else None
        )
        return self._trial(self.storage.get_trial(self._id(trial)))


def worker() -> dict[str, Any]:
    """Which process this is, and when it gave a sign of life."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "time": round(time.time())}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


RANDOM: Strategy = RandomSearch()
