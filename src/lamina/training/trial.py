"""Precision and memory format by measurement: a few steps with each.

That a processor can calculate in bf16 says little: without instructions for it bf16 is slower than float32, and a small
net gains nothing. Depthwise convolutions are slower in bf16, and twice as fast with channels_last. So what the hardware
suggests is tried on the model itself, on real batches, and the fastest taken if a step is faster by more than 10 %.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lamina.data.streams import Batch
from lamina.options.recipe import Recipe
from lamina.tasks.base import EngineAtRest, Task
from lamina.torch_internals import cpu_has_bf16
from lamina.training.engine import Engine
from lamina.training.launching import launched

GAIN = 1.1
"""how many times faster a step must be"""
LEAST_OPERATIONS = 5 * 10**8
"""floating-point operations of a batch's forward pass below which nothing is tried: a step of 50 ms on one thread"""
STEPS = 2
"""steps that are timed, of which the fastest counts, after one that is not"""


def has_bf16(device: torch.device) -> bool:
    """Whether the device calculates in bf16 in hardware, as far as it is known."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bf16()


def can_be_tried(task: Task, recipe: Recipe) -> bool:
    """Whether steps can be tried on a copy of the model: one player, the usual update, nothing compiled."""
    usual = type(task).update is Task.update and len(task.players) == 1 and not task.sides
    return usual and not recipe.compile and not recipe.checkpointing and recipe.processes == 1


def operations(task: Task, model: nn.Module, batch: Batch) -> int:
    """Floating-point operations of the forward pass and the loss of a batch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.random.fork_rng(devices=[]):
        task.loss(copy.deepcopy(model), batch, EngineAtRest())
    return int(counter.get_total_flops())


def candidates(device: torch.device, auto: frozenset[str], batch: Batch) -> list[dict[str, Any]]:
    """The options to try beside those of the recipe, all together and each alone."""
    single: list[dict[str, Any]] = []
    if "precision" in auto and has_bf16(device):
        single.append({"precision": "bf16"})
    if "channels_last" in auto and any(value.ndim == 4 for value in batch.values()):
        single.append({"channels_last": True})
    return single if len(single) < 2 else [{**single[0], **single[1]}, *single]


def seconds_a_step(task: Task, model: nn.Module, batches: Sequence[Batch], recipe: Recipe) -> float:
    """The time of the fastest of a few optimiser steps on a copy of the model."""
    task, copied = copy.deepcopy(task), copy.deepcopy(model)
    engine = Engine(launched(recipe), task, {task.players[0]: copied}, replace(recipe, ema=0.0))
    engine.train_mode()
    times = []
    with torch.random.fork_rng(devices=[]):
        for index in range(STEPS + 1):
            supply = iter([batches[(index + i) % len(batches)] for i in range(recipe.accumulate)])
            began = time.perf_counter()
            task.update(supply, engine)  # type: ignore[arg-type] # one stream: an iterator is enough
            if engine.fabric.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    return min(times[1:])


def faster(
    task: Task, model: nn.Module, batches: Sequence[Batch], recipe: Recipe, auto: frozenset[str], device: torch.device
) -> tuple[Mapping[str, Any], float]:
    """The fastest of the candidates if a step is faster by more than 10 %, and how many times faster; else none."""
    usual = seconds_a_step(task, model, batches, recipe)
    tried = candidates(device, auto, batches[0])
    seconds = [seconds_a_step(task, model, batches, replace(recipe, **options)) for options in tried]
    least = min(seconds, default=usual)
    return (tried[seconds.index(least)], usual / least) if usual / least > GAIN else ({}, 1.0)
