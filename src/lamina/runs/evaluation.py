"""Evaluation on batches: metrics in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lamina.data.streams import Batch, Place
from lamina.evaluation_mode import evaluation_mode
from lamina.randomness import derive
from lamina.report.wording import is_share
from lamina.tasks.base import EngineAtRest, Task
from lamina.training.seeding import generators_restored, seed_generators
from lamina.training.sharding.steps import in_step


def measure(
    task: Task, model: nn.Module, batches: Iterable[Batch], *, seed: int = 0, place: Place | None = None
) -> dict[str, float]:
    """The task's metrics over all batches, under DDP over those of all processes. The caller sets evaluation mode.

    Random numbers drawn in evaluation depend on ``seed`` and the index of the batch only.
    """
    metrics = evaluate_batches(task, model, batches, seed=seed, place=place)
    with warnings.catch_warnings():
        # of few batches some processes have none; torchmetrics warns before it hears of those of the others
        warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
        found = {name: float(value) for name, value in metrics.compute().items()}
    # the mean of shares that are all 1 is 1.0000001 in single precision
    return {name: min(value, 1.0) if is_share(name) else value for name, value in found.items()}


def evaluate_batches(
    task: Task, model: nn.Module, batches: Iterable[Batch], *, seed: int = 0, place: Place | None = None
) -> Any:
    """As ``measure``, before the metrics are computed."""
    place, device = place or Place(), next(model.parameters()).device
    metrics = task.metrics().to(device)
    with generators_restored(device):
        for number, (batch, counts) in enumerate(in_step(batches, model)):
            seed_generators(device, derive(seed, "evaluate", number * place.world + place.rank))
            task.evaluate_step(model, like(model, batch), metrics if counts else task.metrics().to(device))
    return metrics


def calls_model(task: Task) -> bool:
    """Whether ``forward_batches`` knows how the task calls its model."""
    return type(task).evaluate_step is not Task.evaluate_step or type(task).loss is not Task.loss


def forward_batches(task: Task, model: nn.Module, batches: Iterable[Batch], *, seed: int, place: Place) -> None:
    """Call the model on batches as evaluation does (a task without evaluation: as training does), for what its layers
    see of them."""
    if type(task).evaluate_step is not Task.evaluate_step:
        evaluate_batches(task, model, batches, seed=seed, place=place)
        return
    engine, device = EngineAtRest(), next(model.parameters()).device
    with generators_restored(device):
        for number, (batch, _) in enumerate(in_step(batches, model)):
            seed_generators(device, derive(seed, "evaluate", number * place.world + place.rank))
            task.loss(model, like(model, batch), engine)


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
