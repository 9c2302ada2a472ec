"""Evaluation on batches: metrics in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lamina.data.streams import Batch, Place
from lamina.evaluation_mode import evaluation_mode
from lamina.randomness import derive
from lamina.tasks.base import Task
from lamina.training.seeding import generators_restored, seed_generators


def measure(
    task: Task, model: nn.Module, batches: Iterable[Batch], *, seed: int = 0, place: Place | None = None
) -> dict[str, float]:
    """The task's metrics over all batches, under DDP over those of all processes. The caller sets evaluation mode.

    Random numbers drawn in evaluation depend on ``seed`` and the index of the batch only.
    """
    place, device = place or Place(), next(model.parameters()).device
    metrics = task.metrics().to(device)
    with generators_restored(device):
        for number, batch in enumerate(batches):
            seed_generators(device, derive(seed, "evaluate", number * place.world + place.rank))
            task.evaluate_step(model, like(model, batch), metrics)
    return {name: float(value) for name, value in metrics.compute().items()}


@contextmanager
def seeded(model: nn.Module, seed: int, number: int) -> Iterator[None]:
    """Evaluation mode without gradients, torch's generators seeded for one batch and restored afterwards."""
    device = next(model.parameters()).device
    with predicting(model), generators_restored(device):
        seed_generators(device, derive(seed, "evaluate", number))
        yield


def like(model: nn.Module, batch: Batch) -> Batch:
    """The batch in double precision for a float64 model, else unchanged."""
    if next(model.parameters()).dtype is not torch.float64:
        return batch
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@contextmanager
def predicting(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients."""
    with evaluation_mode(model), torch.no_grad():
        yield
