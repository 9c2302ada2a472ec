"""What a point is worth: a short training judged on validation data alone, or a proxy that needs none."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from lamina.errors import RunError, UsageError
from lamina.runs.directory import RunDirectory
from lamina.runs.training import Training, prepare
from lamina.search.binding import merged, options_of
from lamina.search.costs import PROXIES, cost, latency
from lamina.search.space import Point
from lamina.search.trials import Objective, State, Trial
from lamina.training.events import EpochDone
from lamina.training.stopping import stoppable

LENGTHS = ("epochs", "steps", "images")


@dataclass(frozen=True)
class Outcome:
    """What came of a trial."""

    state: State
    values: tuple[float, ...] | None = None
    run: str = ""
    error: str = ""
    seconds: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)


class Reporter(Protocol):
    """What an evaluation tells while it goes on."""

    def report(self, epoch: int, value: float) -> bool:
        """The best value up to an epoch; whether the trial is to be stopped."""

    def alive(self) -> None:
        """Give a sign of life, now and then."""


class Evaluate(Protocol):
    """What a search asks of an evaluation."""

    def __call__(self, trial: Trial, reporter: Reporter, run: str) -> Outcome:
        """The outcome of a trial, whose run is to be called ``run``."""


@dataclass(frozen=True)
class Trainings:
    """Trials as trainings: runs in a folder, judged by the watched metric on the validation split."""

    model: str
    options: Mapping[str, Any]
    """of every training: data, recipe, model"""
    folder: Path
    minimize: tuple[str, ...] = ()
    """further objectives: parameters, macs, latency"""
    proxy: str = "none"
    shortened: Mapping[str, int] = field(default_factory=dict)
    """a length of trials in place of the recipe's"""
    max_macs: int | None = None
    max_parameters: int | None = None

    def training_options(self, point: Point, *, full: bool = False, **more: Any) -> dict[str, Any]:
        """The options of the training of a point; ``full``: as long as the recipe says."""
        options = merged(self.options, options_of(point, self.model))
        if self.shortened and not full:
            options = {key: value for key, value in options.items() if key not in LENGTHS} | dict(self.shortened)
        return {**options, **more}

    def first(self, point: Point) -> Training:
        """The training of a point, prepared, nothing written. Raises whatever is wrong with model, data or options."""
        training = prepare(self.model, self.training_options(point), name="trial", directory=self.folder, dry=True)
        if training.validation is None and self.proxy == "none":
            raise UsageError("a search is judged on validation data, and there are none: set --validation above 0")
        if training.engine.monitor is None and self.proxy == "none":
            raise UsageError(f"the task '{training.task_name}' has no metric to compare trials by: give --monitor")
        return training

    def objectives(self, training: Training) -> tuple[Objective, ...]:
        """The watched metric, or the proxy, and what is minimised beside it."""
        if self.proxy != "none":
            first = Objective(f"proxy {self.proxy}", maximize=True)
        else:
            assert training.engine.monitor is not None
            name, mode = training.engine.monitor
            first = Objective(name, maximize=mode == "max")
        return (first, *(Objective(name, maximize=False) for name in self.minimize))

    def allows(self, point: Point) -> bool:
        """Whether a point keeps within the limits on parameters and multiply-adds."""
        if self.max_macs is None and self.max_parameters is None:
            return True
        training = prepare(self.model, self.training_options(point), name="trial", directory=self.folder, dry=True)
        if self.max_parameters is not None and training.parameters > self.max_parameters:
            return False
        return self.max_macs is None or cost(training, "macs") <= self.max_macs

    def __call__(self, trial: Trial, reporter: Reporter, run: str) -> Outcome:
        began = time.monotonic()
        info: dict[str, Any] = {}
        try:
            if self.proxy != "none":
                training = prepare(
                    self.model, self.training_options(trial.point), name=run, directory=self.folder, dry=True
                )
                state: State = "complete"
                first = PROXIES[self.proxy](training)
                run = ""
            else:
                training = self._training(trial.point, run)
                latest = training.directory.checkpoints.latest()
                info |= {} if latest is None else {"resumed_at": int(latest.stem.removeprefix("step-"))}
                state, first = self._trained(training, reporter)
                info["epochs"] = len(training.directory.rows())
            info["parameters"] = training.parameters
            if "macs" in self.minimize or self.max_macs is not None:
                info["macs"] = cost(training, "macs")
            if "latency" in self.minimize:
                info["latency"] = latency(training)
            values = (first, *(float(info[name]) for name in self.minimize))
            if not all(map(math.isfinite, values)):
                return _failed("a value that is not finite", began, run, info)
            return Outcome(state, values, run, seconds=_since(began), info=info)
        except (RunError, KeyboardInterrupt):
            raise  # a full disk, a lock, Ctrl-C: not the trial's fault
        except torch.OutOfMemoryError as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return _failed(f"out of memory: {_line(error)}", began, run, info)
        except MemoryError:
            return _failed("out of memory", began, run, info)
        except Exception as error:  # whatever a point's model or training raises
            return _failed(_line(error), began, run, info)

    def _training(self, point: Point, run: str) -> Training:
        """The training of a trial: new, or taken up from its latest checkpoint."""
        if (self.folder / run / "config.yaml").is_file():
            return prepare(None, {}, name=run, directory=self.folder, resume=True)
        return prepare(self.model, self.training_options(point), name=run, directory=self.folder)

    def _trained(self, training: Training, reporter: Reporter) -> tuple[State, float]:
        """Train, reporting after every epoch; closing the generator prunes and leaves a run that can be resumed."""
        state: State = "complete"
        with closing(training.events()) as events:
            for event in stoppable(events):
                reporter.alive()
                if isinstance(event, EpochDone) and reporter.report(event.epoch, best_value(training)):
                    state = "pruned"
                    break
        if state == "complete":
            training.finalize()
        return state, best_value(training)


def best_value(training: Training) -> float:
    """The watched metric of the best epoch so far."""
    assert training.engine.monitor is not None
    return best_of(training.directory, *training.engine.monitor)


def best_of(directory: RunDirectory, metric: str, mode: str) -> float:
    """A validation metric of a run's best epoch; not-a-number without any."""
    values = [row.get(f"validation_{metric}", math.nan) for row in directory.rows()]
    known = [value for value in values if not math.isnan(value)]
    return (max(known) if mode == "max" else min(known)) if known else math.nan


def _failed(error: str, began: float, run: str, info: Mapping[str, Any]) -> Outcome:
    return Outcome("failed", None, run, error=error, seconds=_since(began), info=info)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return text if isinstance(error, UsageError) or hasattr(error, "exit_code") else f"{type(error).__name__}: {text}"


def best_index(scores: Sequence[float | None]) -> int | None:
    """The first of the greatest scores; None without any."""
    known = [i for i, score in enumerate(scores) if score is not None]
    return max(known, key=lambda i: (scores[i], -i)) if known else None
