"""Resuming a run: which one, what may change, and what changes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lamina.data.catalogue import MEMORY
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.runs.config import LENGTHS, TrainConfig, make_config
from lamina.runs.directory import RunDirectory
from lamina.runs.run import Run
from lamina.tasks.base import Task
from lamina.training.schedules import rate_factor
from lamina.weights.hub import same_place
from lamina.weights.published import spelled

SETTINGS = ("devices", "num_nodes", "strategy", "timeout", "accelerator", "workers", "memory")
MAY_CHANGE = ("data", *LENGTHS, "checkpoint_every", "patience", *SETTINGS)
"""options that may change when a run is resumed: the data's place, and those of the recipe that change no update"""


@dataclass(frozen=True)
class Position:
    """What a checkpoint reached: rows of metrics.csv, and the share of training done, 0 to 1."""

    rows: int = 0
    share: float = 0.0
    measures_statistics: bool = True
    """whether it measures running statistics anew that have not settled"""


def short_name(data: str | Sequence[str]) -> str:
    """The last part of a data source's name as part of a folder name; several sources are joined; "memory" for data
    in memory."""
    if not isinstance(data, str):
        return "-".join(map(short_name, data))
    if data.startswith(MEMORY):
        return "memory"
    stem = data.removeprefix("hf:").split("@")[0].rstrip("/").split("/")[-1].split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem) or "data"


def find_run(parent: Path, name: str | None, label: str | None, options: Mapping[str, Any]) -> RunDirectory:
    """The run to resume, by its name, or by the model and the data that name it. Raises UsageError."""
    if name is None:
        if label is None or not options.get("data"):
            raise UsageError("--resume needs the run's --name, or the model and --data it was started with")
        name = f"{label}-{short_name(options['data'])}"
    return RunDirectory.open(parent / name)


def expect_same_task(found: RunDirectory, own: nn.Module | None, task: Task | None) -> None:
    """Raise RunError where the run is of packages that are not installed, UsageError where it was started with a task
    of the user's own and another is given, or none, or the other way round."""
    run = Run(found.path, model=own, task=task)
    run.expect_installed()
    given = None if task is None else type(task).__name__
    if run.card.get("own_task") != given:
        task_then = f"a task of your own, {run.card['own_task']}" if "own_task" in run.card else f"'{run.task_name}'"
        now = "without one: give task=..." if given is None else f"with {given}"
        raise UsageError(f"{found.path} was started with {task_then}; it cannot be resumed {now}")


def resumed_config(found: RunDirectory, label: str | None, options: Mapping[str, Any]) -> TrainConfig:
    """The run's configuration with the changes in ``options``. Raises UsageError for one that may not change."""
    saved = TrainConfig.of_run(found)
    if label is not None and label != saved.name:
        raise UsageError(f"{found.path} trains {saved.name}, not {label}")
    stated = {key: value for key, value in saved.to_dict().items() if key != "format"}
    given = {key: value for key, value in options.items() if value is not None}
    if saved.weights is not None and isinstance(weights := given.get("weights"), str):
        given["weights"] = saved.weights if same_place(spelled(saved.name, weights), saved.weights) else weights
    longer = any(key in given for key in LENGTHS)
    base = {key: value for key, value in stated.items() if not (longer and key in LENGTHS)}
    model = {**saved.model, **given.get("model", {})}
    wanted = {**base, **given, "model": model}
    settings = make_config(saved.name, wanted, default_recipe=False, fetches=saved.weights != wanted.get("weights"))
    for key, value in settings.to_dict().items():
        if key in stated and stated[key] != value and key not in MAY_CHANGE:
            was = f"{key}={stated[key]}"
            raise UsageError(f"{found.path} was started with {was}; it cannot be resumed with {key}={value}")
    return settings


def resume_notes(path: str, before: Recipe, now: Recipe, share: float) -> list[str]:
    """What a run at ``share`` of its recipe ``before`` does under the recipe ``now`` that its user may not expect."""
    (unit, amount), (unit_now, amount_now) = before.length, now.length
    done = share * amount
    if not share or unit != unit_now:
        return []
    if done >= amount_now:
        return [f"nothing to train: {path} has {done:g} {unit} already, --{unit} must be more"]
    share_now = done / amount_now
    rate, rate_now = (
        recipe.lr * rate_factor(recipe, part, part) for recipe, part in ((before, share), (now, share_now))
    )
    if rate_now <= 1.001 * rate:
        return _falls_elsewhere(before, now, share_now)
    return [
        f"the schedule '{before.schedule}' follows the share of training done: with {amount_now} {unit} the rate "
        f"goes up again, from {rate:.3g} to {rate_now:.3g}"
    ]


def _falls_elsewhere(before: Recipe, now: Recipe, share: float) -> list[str]:
    """What ``decay_start``, a share of training, becomes under another length."""
    (unit, amount), (_, amount_now) = before.length, now.length
    if amount == amount_now or not before.decay_start:
        return []
    start, start_now = before.decay_start * amount, now.decay_start * amount_now
    if share > now.decay_start:
        return [f"the rate falls to its end after {amount_now} {unit}, not after {amount}: another rate from here on"]
    return [
        f"the rate falls from decay_start {now.decay_start:g} of training on: after {start_now:g} {unit}, "
        f"not after {start:g}"
    ]
