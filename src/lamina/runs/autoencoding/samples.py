"""Pictures of an autoencoder during training: the same inputs restored, the same codes decoded, after each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.report.picture_grid import grid_png
from lamina.runs.evaluation import like, seeded
from lamina.runs.views.base import TrainingSamples
from lamina.tasks.base import Batch, Task

COLUMNS = 10
DRAWN_ROWS = 2
"""rows of generated pictures"""


@dataclass(frozen=True)
class RestoredPictures(TrainingSamples):
    """A row of inputs, one of the same corrupted (where the task corrupts), one of what is restored; then generated
    ones, where the task has a prior."""

    task: Task
    preprocess: Preprocess
    batch: Batch
    seed: int

    def picture(self, model: nn.Module) -> bytes:
        task: Any = self.task
        with seeded(model, self.seed, 0):
            batch = like(model, {name: value.to(next(model.parameters()).device) for name, value in self.batch.items()})
            x = task.input(batch)
            rows = [x]
            seen = task.corrupt(x) if hasattr(task, "corrupt") else x
            if seen is not x:
                rows.append(seen)
            rows.append(task.restore(model, seen).mean)
            if task.has_prior:
                code_NL = task.draw(model, DRAWN_ROWS * len(x), self.seed)
                rows.append(task.decode(model, code_NL, tuple(x.shape[1:])))
        shown = [self.preprocess.undo(value.float().cpu()) for row in rows for value in row]
        return grid_png(shown, len(x))


def restored_pictures(task: Task, preprocess: Preprocess, source: Source, seed: int) -> RestoredPictures:
    """Of the first validation pictures, or else of training pictures."""
    split: Any = source.splits.get("validation", source.splits["train"])
    some = split.subset(range(min(COLUMNS, len(split))))
    samples: Any = preprocess.encode(some, hold=True)
    batch = preprocess.prepare({name: torch.clone(value) for name, value in samples.tensors.items()})
    return RestoredPictures(task, preprocess, batch, seed)
