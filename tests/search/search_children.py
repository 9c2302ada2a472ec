"""What the tests of searches run in processes of their own, some of which are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import alembic.command  # imported by Optuna on first use: once, before processes are forked
import sklearn.datasets
import sqlalchemy

import lamina
import lamina.data.tabular.frames  # what a training needs, imported once, before processes are forked
import lamina.models.mlp
import lamina.runs.training
import lamina.tasks.classification
from lamina.search.api import search
from lamina.search.searching import Search
from lamina.search.storage import Journal
from lamina.search.trials import Trials

LOADED = (alembic.command, sqlalchemy, sklearn.datasets)

SPACE = {
    "x": {"low": 0.0, "high": 1.0},
    "kind": ["a", "b", "c"],
    "depth": {"low": 1, "high": 6, "when": {"kind": ["a", "b"]}},
}


def value(point: Mapping[str, Any]) -> float:
    if point["x"] > 0.97:
        raise ValueError("too much")
    return float(point["x"] * 2 - {"a": 0, "b": 0.3, "c": 0.1}[point["kind"]] + point.get("depth", 0) / 7)


def stubbed(folder: Path, strategy: str, trials: int = 30, **more: Any) -> Search:
    options = {"population": 5} if strategy == "evolution" else {"startup": 6} if strategy == "tpe" else {}
    more = {"baseline": False, **more}
    return search(
        evaluate=value, space=SPACE, strategy=strategy, strategy_options=options, trials=trials, name="s",
        directory=folder, report=False, **more,
    )  # fmt: skip


def killed_while_writing(folder: Path, strategy: str, moment: int, how: str) -> None:
    """The search, killed at a record of the journal: before it is written, after, or in the middle."""
    append, count = Journal.append_logs, 0

    def dying(journal: Journal, logs: list[dict[str, Any]]) -> None:
        nonlocal count
        count += 1
        if count == moment:
            if how == "after":
                append(journal, logs)
            elif how == "within":
                with open(journal.path, "ab") as file:
                    file.write(b'{"op_code":4,"worker_id":"x","study_id":0,"par')
            os.kill(os.getpid(), signal.SIGKILL)
        append(journal, logs)

    Journal.append_logs = dying  # type: ignore[method-assign]
    stubbed(folder, strategy, resume=(folder / "s" / "search.yaml").exists())


def forked(call: Callable[[], object]) -> int:
    """Run a call in a fork of this process; its exit status, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            call()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def worker(path: str, dies_at_report: int | None) -> None:
    """A worker on the search in a folder, killed -9 at its n-th report of an epoch."""
    report, count = Trials.report, 0

    def dying(trials: Trials, *args: Any) -> None:
        nonlocal count
        count += 1
        if count == dies_at_report:
            os.kill(os.getpid(), signal.SIGKILL)
        report(trials, *args)

    Trials.report = dying  # type: ignore[method-assign]
    lamina.open_search(path).work()


def patient_worker(path: str, holds: Event, goes_on: Event) -> None:
    """A worker that holds its first trial, at its first report of an epoch, until it may go on."""
    report = Trials.report

    def waiting(trials: Trials, *args: Any) -> None:
        holds.set()
        goes_on.wait()
        report(trials, *args)

    Trials.report = waiting  # type: ignore[method-assign]
    lamina.open_search(path).work()


def joins(folder: str, storage: str) -> None:
    """One of several processes that start the same search at once."""
    stubbed(Path(folder), "random", trials=12, storage=storage)
