"""Views of runs that restore their input: pictures and rows generated, anomalies, reports."""

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
from lamina.runs.autoencoding.anomalies import judge
from lamina.runs.autoencoding.generation import decoded_by, generated
from lamina.runs.autoencoding.inspection import inspect_picture
from lamina.runs.autoencoding.report import picture_sections, row_sections, shared_sections
from lamina.runs.autoencoding.samples import restored_pictures
from lamina.runs.evaluation import predicting
from lamina.runs.image.view import ImageView
from lamina.runs.sample_metrics.judge import judged_samples
from lamina.runs.table.view import TableView
from lamina.runs.views.base import InspectionPage, TrainingSamples, View
from lamina.tasks.base import Task


@dataclass(frozen=True)
class AutoencoderView(View):
    """Generation from codes."""

    takes_prompts: ClassVar[bool] = False
    noisy: ClassVar[bool] = False
    """whether what is generated has noise unless the options say otherwise: rows without it lack variance"""

    @classmethod
    def drawn(cls, task: Any, preprocess: Preprocess, model: nn.Module, count: int, seed: int) -> list[Any]:
        with predicting(model):
            code_NL = task.draw(model, count, seed)
        values = decoded_by(task, preprocess, model, code_NL, seed if cls.noisy else None)
        return [preprocess.undo(value) for value in values]

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics; where a class is normal, those of anomalies, too, of the model and of the baselines; of
        what is generated those by a metric network, where one is given, and of toy data by their modes."""
        found = super().evaluate(split, source, options)
        if options.metric_network is not None or getattr(self.run.task, "has_prior", False):
            found |= judged_samples(self, split, source, options)
        judged = judge(self.run, split, source, options.normal, options.score)
        return found if judged is None else found | judged.metrics()

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        return [*self.own_sections(outcome.split), *shared_sections(self.run, outcome.split)]

    def own_sections(self, split: str) -> list[Section]:
        """Those of a modality."""
        return []

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Pictures (H, W, C) uint8, or rows."""
        if prompts:
            raise UsageError(f"{self.run.path} generates {self.run.modality.noun}, it continues no prompt")
        return generated(self.run, options, self.noisy)


@dataclass(frozen=True)
class AutoencoderImageView(AutoencoderView, ImageView):
    """Pictures: restored ones after each epoch."""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return restored_pictures(task, preprocess, source, seed)

    def own_sections(self, split: str) -> list[Section]:
        return picture_sections(self.run, split)

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:  # type: ignore[override]
        """One picture restored, its error, its code, and walks from there. Raises UsageError."""
        if target is not None or stage is not None:
            what = "class" if target is not None else "stage"
            raise UsageError(f"{what} is for models that predict classes, but {self.run.path} restores its input")
        return inspect_picture(self.run, item)


@dataclass(frozen=True)
class AutoencoderTableView(AutoencoderView, TableView):
    """Rows."""

    noisy: ClassVar[bool] = True

    def own_sections(self, split: str) -> list[Section]:
        return row_sections(self.run, split)
