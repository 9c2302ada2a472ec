"""A worker: takes trials, evaluates them, tells what came of them, until there is none left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lamina.errors import RunError
from lamina.search.evaluation import Evaluate
from lamina.search.pruning import prunes
from lamina.search.space import Point
from lamina.search.strategies import Strategy
from lamina.search.trials import BEAT, Trial, Trials

FAILURES = 5
"""failed trials, without one that was not, after which a search stops"""

Show = Callable[[Trial], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """How trials are chosen, and stopped."""

    strategy: Strategy
    seed: int
    count: int
    """trials, those that repeat another left out"""
    pruner: str = "none"
    length: int = 0
    """epochs of a whole trial"""
    allowed: Callable[[Point], bool] | None = None
    known: Mapping[str, Trial] | None = None
    """points measured by another study, by ``Space.key``"""


class _Reporter:
    def __init__(self, trials: Trials, trial: Trial, work: Work) -> None:
        self.trials, self.trial, self.work = trials, trial, work
        self._beat = time.monotonic()

    def report(self, epoch: int, value: float) -> bool:
        self.trials.report(self.trial, epoch, value)
        if self.work.pruner == "none":
            return False
        curves = self.trials.curves()
        curves.pop(self.trial.number, None)
        score = self.trials.objectives[0].score(value)
        return prunes(
            self.work.pruner,
            self.trial.number,
            epoch,
            score,
            curves,
            seed=self.work.seed,
            length=self.work.length,
        )

    def alive(self) -> None:
        if time.monotonic() - self._beat > BEAT:
            self._beat = time.monotonic()
            self.trials.beat(self.trial)


def work(trials: Trials, evaluate: Evaluate, how: Work, show: Show | None = None) -> None:
    """Work on trials until as many as asked for are over, or taken by others.

    A trial that a dead worker left is taken up first. One that fails is recorded and the search goes on. Raises
    RunError where the first ones all fail, with the error of the first.
    """
    while True:
        taken = trials.take(how.strategy, how.seed, how.count, allowed=how.allowed, known=how.known)
        if taken is None:
            return
        trial, lock = taken
        try:
            outcome = evaluate(trial, _Reporter(trials, trial, how), trials.run_name(trial.number))
            told = trials.tell(
                trial,
                outcome.state,
                outcome.values,
                run=outcome.run,
                error=outcome.error,
                seconds=outcome.seconds,
                info=dict(outcome.info),
            )
        finally:
            lock.release()
        if show is not None:
            show(told)
        if told.state == "failed":
            _expect_one_success(trials, how.count)


def _expect_one_success(trials: Trials, count: int) -> None:
    over = [trial for trial in trials.all() if trial.state != "running" and trial.repeats is None]
    if len(over) >= min(FAILURES, count) and all(trial.state == "failed" for trial in over):
        raise RunError(f"all {len(over)} trials failed, the first with: {over[0].error}")
