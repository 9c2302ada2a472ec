"""Views of runs of adversarial networks: pictures and rows generated, also during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError, unknown
from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.report.picture_grid import grid_png
from lamina.runs.evaluation import predicting
from lamina.runs.image.view import ImageView
from lamina.runs.sample_metrics.judge import judged_samples
from lamina.runs.table.view import TableView
from lamina.runs.views.base import InspectionPage, TrainingSamples, View
from lamina.runs.views.training_pictures import training_pictures
from lamina.tasks.base import Task

GENERATED = 64
"""pictures of an epoch"""


@dataclass(frozen=True)
class GeneratedPictures(TrainingSamples):
    """Pictures from the same z after each epoch; of a conditional model one column for each class."""

    task: Task
    preprocess: Preprocess
    seed: int

    def picture(self, model: nn.Module) -> bytes:
        task, classes = self.task, getattr(model.generator, "classes", 0)
        columns = classes if 1 < classes <= GENERATED // 2 else None
        count = GENERATED if columns is None else columns * (GENERATED // columns)
        return grid_png(samples(task, model, self.preprocess, count, self.seed), columns)


def samples(
    task: Any, model: nn.Module, preprocess: Preprocess, count: int, seed: int, label: int | None = None
) -> list[Any]:
    """Pictures (H, W, C) uint8, or rows, the i-th a function of seed and i."""
    with predicting(model):
        values = task.sample(model, count, seed, label).float().cpu()
    return [preprocess.undo(value) for value in values]


@dataclass(frozen=True)
class AdversarialView(View):
    """Generation from z, and how good it is."""

    takes_prompts: ClassVar[bool] = False

    @classmethod
    def drawn(cls, task: Task, preprocess: Preprocess, model: nn.Module, count: int, seed: int) -> list[Any]:
        return samples(task, model, preprocess, count, seed)

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics, and those of generated samples: by a metric network, where one is given, and of toy data
        by their modes."""
        return super().evaluate(split, source, options) | judged_samples(self, split, source, options)

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Pictures (H, W, C) uint8, or rows. Raises UsageError for a label that the run does not have."""
        if prompts:
            raise UsageError(f"{self.run.path} generates {self.run.modality.noun}, it continues no prompt")
        model = self.run.model
        label = None if options.label is None else self.label(options.label)
        return samples(self.run.task, model, self.run.preprocess, options.count, options.seed, label)

    def label(self, name: str) -> int:
        """The number of a class."""
        model: Any = self.run.model
        names = self.run.preprocess.target.classes
        if not model.generator.classes:
            hint = f"train with --model.classes {len(names)}" if names else "its data have no classes"
            raise UsageError(f"label '{name}': {self.run.path} is not conditional ({hint})")
        if name not in names:
            raise unknown("label", name, names)
        return names.index(name)

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        return training_pictures(self.run)


@dataclass(frozen=True)
class AdversarialImageView(AdversarialView, ImageView):
    """Pictures."""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return GeneratedPictures(task, preprocess, seed)

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:  # type: ignore[override]
        raise UsageError(f"inspect does not support adversarial networks yet: {self.run.path}")


@dataclass(frozen=True)
class AdversarialTableView(AdversarialView, TableView):
    """Rows."""
