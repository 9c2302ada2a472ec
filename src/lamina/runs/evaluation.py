"""A model judged on batches: metrics in one pass, in evaluation mode and without gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lamina.data.streams import Batch
from lamina.evaluation_mode import evaluation_mode
from lamina.tasks.base import Task


def measure(task: Task, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """The task's metrics over all batches; under DDP over those of all processes. The caller sets the mode."""
    device = next(model.parameters()).device
    metrics = task.metrics().to(device)
    for batch in batches:
        task.evaluate_step(model, like(model, batch), metrics)
    return {name: float(value) for name, value in metrics.compute().items()}


def like(model: nn.Module, batch: Batch) -> Batch:
    """The batch in the floating type of a model in double precision; as it is for every other."""
    if next(model.parameters()).dtype is not torch.float64:
        return batch
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@contextmanager
def predicting(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside the block."""
    with evaluation_mode(model), torch.no_grad():
        yield
