"""Views of runs of adversarial networks: pictures and rows generated, also during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError
from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.report.picture_grid import grid_png
from lamina.runs.adversarial.generation import generated, samples
from lamina.runs.adversarial.inspection import inspect_samples, sections_of
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


@dataclass(frozen=True)
class AdversarialView(View):
    """Generation from z, and how good it is."""

    takes_prompts: ClassVar[bool] = False
    inspects: ClassVar[str] = ""

    @classmethod
    def drawn(cls, task: Task, preprocess: Preprocess, model: nn.Module, count: int, seed: int) -> list[Any]:
        return samples(task, model, preprocess, count, seed)

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics, and those of generated samples: by a metric network, where one is given, and of toy data
        by their modes."""
        return super().evaluate(split, source, options) | judged_samples(self, split, source, options)

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Pictures (H, W, C) uint8, or rows. Raises UsageError for options that the run cannot serve."""
        if prompts:
            raise UsageError(f"{self.run.path} generates {self.run.modality.noun}, it continues no prompt")
        return generated(self.run, options)

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        return [*training_pictures(self.run), *sections_of(self.run)]

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:
        """How the players fared, the critic's gradients, and the nearest training sample of each sample. Raises
        UsageError for a class and a stage."""
        self.refuse_target(target, stage)
        return inspect_samples(self.run)

    def refuse_target(self, target: str | int | None, stage: int | None) -> None:
        """Raises UsageError where one is given."""
        if target is not None or stage is not None:
            what = "class" if target is not None else "stage"
            raise UsageError(f"{what} is for models that predict classes, but {self.run.path} generates")


@dataclass(frozen=True)
class AdversarialImageView(AdversarialView, ImageView):  # type: ignore[misc]  # inspected without an image
    """Pictures."""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return GeneratedPictures(task, preprocess, seed)


@dataclass(frozen=True)
class AdversarialTableView(AdversarialView, TableView):
    """Rows."""
