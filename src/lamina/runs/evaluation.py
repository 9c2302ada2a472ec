"""What a model says of a split: metrics in one pass, and every prediction beside its truth."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

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


def predictions(task: Task, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """``task.predict`` over all batches, joined on the CPU, with "target" beside it where the batches have one."""
    found: dict[str, list[Tensor]] = {}
    with evaluation_mode(model), torch.no_grad():
        for batch in batches:
            said = task.predict(model, like(model, batch))
            for name, value in {**said, **{k: v for k, v in batch.items() if k == "target"}}.items():
                found.setdefault(name, []).append(value.cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def like(model: nn.Module, batch: Batch) -> Batch:
    """The batch in the floating type of a model in double precision; as it is for every other."""
    if next(model.parameters()).dtype is not torch.float64:
        return batch
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
