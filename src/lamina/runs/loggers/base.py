"""The table of loggers, and training whose events they follow."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from lamina.errors import UsageError, unknown
from lamina.plugins import load
from lamina.training.events import EpochDone, Event

LOGGERS = {
    "tensorboard": "lamina.runs.loggers.tensorboard:TensorBoard",
    "wandb": "lamina.runs.loggers.wandb:WandB",
    "mlflow": "lamina.runs.loggers.mlflow:MLflow",
}


class Logger(Protocol):
    """What follows a training: built with the run's folder and configuration when it begins."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None: ...

    def epoch(self, step: int, values: Mapping[str, float]) -> None:
        """The values of an epoch, after this many steps."""

    def close(self, finished: bool) -> None:
        """Training has ended, or was stopped."""


def loggers_named(names: Sequence[str]) -> list[type[Logger]]:
    """The loggers of these names. Raises UsageError for an unknown one, and for one whose package is not installed."""
    found = []
    for name in names:
        if name not in LOGGERS:
            raise unknown("logger", name, LOGGERS)
        try:
            found.append(load(LOGGERS[name]))
        except ImportError as error:
            raise UsageError(f"the logger {name} is not installed ({error}): pip install lamina[{name}]") from error
    return found


class Followed(Protocol):
    """A prepared training, as much of it as a logger needs."""

    fabric: Any
    directory: Any
    config: Any

    def events(self) -> Generator[Event]: ...


def followed(training: Followed, loggers: Sequence[type[Logger]]) -> Generator[Event]:
    """The events of a training, which loggers follow in the main process.

    for event in followed(training, loggers_named(["tensorboard"])):
        ...
    """
    folder, config = training.directory.path, training.config.to_dict()
    made = [logger(folder, config) for logger in loggers] if training.fabric.is_global_zero else []
    finished = False
    try:
        with closing(training.events()) as events:
            for event in events:
                if isinstance(event, EpochDone):
                    values = {f"train/{name}": value for name, value in event.train.items()}
                    values |= {f"validation/{name}": value for name, value in event.validation.items()}
                    for one in made:
                        one.epoch(event.step, {"epoch": event.epoch, "lr": event.lr, **values})
                yield event
        finished = True
    finally:
        for one in made:
            one.close(finished)
