"""Recipes that fit the machine: precision and memory format by a short trial, and a length for some minutes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lamina.data.streams import Stream
from lamina.errors import RunError, UsageError
from lamina.files import write_whole
from lamina.runs.build import Parts
from lamina.runs.config import TrainConfig
from lamina.training import trial

FOUND = ("precision", "channels_last")
"""the options that are found"""
OVERHEAD = 1.25
"""time of an epoch, its evaluation included, over that of its steps"""
REMEMBERED = "precision.json"
"""the file of the cache that holds what was found"""


def fit_machine(
    config: TrainConfig, parts: Parts, stream: Stream, device: torch.device
) -> tuple[dict[str, Any], dict[str, str]]:
    """The options among ``FOUND`` that make training on this machine faster by more than 10 %, and why.

    None where they are not "auto", the model is too small to gain, or the task is the user's own or cannot be tried on
    a copy (``training.trial``).
    """
    auto, recipe = config.auto & {*FOUND}, config.recipe
    if not auto or parts.kind is None or not trial.can_be_tried(parts.task, recipe):
        return {}, {}
    batches = list(islice(stream.batches(0), 1))
    if not trial.candidates(device, auto, batches[0]):
        return {}, {}
    if trial.operations(parts.task, parts.model, batches[0]) < trial.LEAST_OPERATIONS:
        return {}, {}
    key = _key(config, parts, batches[0], device)
    known = _remembered()
    if key not in known:
        options, gain = trial.faster(parts.task, parts.model, batches, recipe, auto, device)
        known = {**_remembered(), key: {"options": dict(options), "gain": round(gain, 2)}}
        with contextlib.suppress(RunError):  # a cache that cannot be written is none
            write_whole(_cache(), lambda file: file.write(json.dumps(known, indent=1, sort_keys=True).encode()))
    options, gain = known[key]["options"], known[key]["gain"]
    why = f"a step is {gain:.2f} times faster here"
    return options, {name: f"{value if name == 'precision' else 'on'}: {why}" for name, value in options.items()}


def fit_length(
    config: TrainConfig, parts: Parts, stream: Stream, device: torch.device
) -> tuple[TrainConfig, dict[str, str]]:
    """Fewer epochs, or steps, where training would take longer than the recipe's ``minutes`` on this machine.

    Raises UsageError for a task of which a step cannot be timed.
    """
    recipe = config.recipe
    if recipe.minutes is None:
        return config, {}
    if not trial.can_be_tried(parts.task, replace(recipe, compile=False, checkpointing=False)):
        raise UsageError(
            f"minutes: a step of the task '{parts.task.name}' cannot be timed before training; give --epochs or --steps"
        )
    batches = list(islice(stream.batches(0), 1))
    each = trial.seconds_a_step(parts.task, parts.model, batches, recipe) * OVERHEAD
    steps, per_epoch = max(1, int(recipe.minutes * 60 / each)), max(1, stream.per_epoch // recipe.accumulate)
    unit, amount = recipe.length
    asked = {"epochs": amount * per_epoch, "steps": amount, "images": amount // recipe.batch_size}[unit]
    if asked <= steps:
        return replace(config, recipe=replace(recipe, minutes=None)), {}
    shorter: dict[str, Any] = {"epochs": None, "steps": None, "images": None, "minutes": None}
    shorter |= {"epochs": steps // per_epoch} if steps >= per_epoch else {"steps": steps}
    if recipe.patience is not None and recipe.patience >= (shorter["epochs"] or 0):
        shorter["patience"] = None
    (name,) = (name for name in ("epochs", "steps") if shorter[name] is not None)
    longer = f"{amount:,} {unit} would take {_clock(asked * each)}"
    why = f"{shorter[name]:,}: about {recipe.minutes:g} minutes here; {longer}"
    return replace(config, recipe=replace(recipe, **shorter)), {name: why}


def _clock(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


def _cache() -> Path:
    folder = Path(os.environ.get("LAMINA_CACHE", "~/.cache/lamina")).expanduser()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / REMEMBERED


def _remembered() -> dict[str, Any]:
    """What earlier trials found; a damaged file is none."""
    try:
        known = json.loads(_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(config: TrainConfig, parts: Parts, batch: Mapping[str, torch.Tensor], device: torch.device) -> str:
    """What the outcome depends on: the model, its input, the optimiser, the machine and torch."""
    recipe = config.recipe
    weights = sorted((name, tuple(value.shape)) for name, value in parts.model.named_parameters())
    shapes = sorted((name, str(value.dtype), tuple(value.shape)) for name, value in batch.items())
    what = (type(parts.model).__name__, weights, shapes, recipe.optimizer, recipe.precision, sorted(config.auto))
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    where = (platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), gpu)
    return hashlib.sha256(repr((what, where, torch.__version__)).encode()).hexdigest()[:24]


def with_found(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """The configuration with the options that were found."""
    recipe = replace(config.recipe, **options)
    return replace(config, recipe=recipe, auto=config.auto - {*FOUND})
