"""A run in one line of a list: model, progress, best metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lamina.runs.folders import may_be_run, run_folders
from lamina.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run as listed by ``lamina runs``; reads no weights."""

    path: str
    model: str
    data: str
    state: Literal["finished", "training", "stopped"]
    """stopped: it can be resumed"""
    step: int
    """optimiser steps done"""
    epochs: int
    """whole epochs done"""
    metric: str | None
    """the watched metric, which chooses the best epoch; None without one"""
    best: float | None
    """its value on the validation split, in the epoch whose weights are kept"""
    best_epoch: int | None
    lr: float
    """peak learning rate"""
    split: str | None
    """the split of the last report; None without one"""
    test: float | None
    """the watched metric on it"""
    metrics: dict[str, float]
    """all metrics of the last report"""
    date: str
    """when training ended, or was seen last: 2026-11-30T12:00:00+00:00"""
    minutes: float
    """of training, over all resumptions that ended regularly or by a signal that can be caught"""


def summarise(run: Run) -> RunSummary:
    """Raises RunError for a run with a file that is missing or damaged."""
    rows, status = run.history, run.directory.status()
    kept = next((row for row in reversed(rows) if row.get("best")), None)
    metric = run.monitor
    finished = bool(status.get("finished"))
    results = run.directory.results()
    metrics = dict(results.get("metrics", {}))
    return RunSummary(
        path=str(run.path),
        model=run.config.name,
        data=run.config.data_name,
        state="training" if run.directory.is_locked() else "finished" if finished else "stopped",
        step=max(int(status.get("step", 0)), int(rows[-1]["step"]) if rows else 0),
        epochs=len(rows),
        metric=metric,
        best=kept.get(f"validation_{metric}") if kept else None,
        best_epoch=int(kept["epoch"]) if kept else None,
        lr=run.config.recipe.lr,
        split=results.get("split"),
        test=metrics.get(metric or "", metrics.get("loss")),
        metrics=metrics,
        date=str(status.get("ended") or _modified(run)),
        minutes=round(status.get("seconds", 0.0) / 60, 2),
    )


def _modified(run: Run) -> str:
    """When the last file of training was written, for runs that do not state it."""
    files = [path for path in (run.path / "metrics.csv", run.path / "config.yaml") if path.exists()]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC).isoformat(timespec="seconds")


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The configuration keys in which the runs differ, with the value of each run."""
    plain = [run.config.to_dict() for run in runs]
    flat = [
        {**{k: v for k, v in one.items() if k != "model"}, **{f"model.{k}": v for k, v in one["model"].items()}}
        for one in plain
    ]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = {key: [one.get(key) for one in flat] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


def run_paths(where: str | Path) -> list[Path]:
    """``where`` if it is a run, else the runs in that folder, in order of name."""
    folder = Path(where)
    if may_be_run(folder):
        return [folder]
    return run_folders(folder)
