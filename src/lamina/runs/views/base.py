"""A view: what a run of a task on a modality does and shows, over the opened run.

This base serves every task and modality; a row of the table of views (``views.table``) has more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError
from lamina.inspection.gradients import gradient_flow
from lamina.report.blocks import Section
from lamina.report.content import Inside, Mistake, Outcome, ReportContent
from lamina.report.text.content import Written
from lamina.runs.evaluation import like, seeded
from lamina.runs.opened import Opened
from lamina.runs.prediction import predict_items
from lamina.runs.views.mistakes import Sample, mistakes
from lamina.tasks.base import Batch, EngineAtRest, Task

GRADIENT_SAMPLES = 256


class TrainingSamples(Protocol):
    """What a model in training gives for the same prompts every time, a few rows after each epoch."""

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]: ...


class InspectionPage(Protocol):
    """What an inspection saw, and the page that shows it."""

    @property
    def seen(self) -> Any: ...
    @property
    def model(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def said(self) -> Sequence[tuple[str, str]]: ...
    @property
    def random(self) -> bool: ...
    def html(self) -> str: ...
    def pictures(self) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class View:
    """See the module's docstring."""

    run: Opened

    unit: ClassVar[str] = "sample"
    """what a split's length counts"""
    inspects: ClassVar[str] = ""
    """the keyword of ``Run.inspect`` that it serves: "image", "text"; empty: none"""
    has_stages: ClassVar[bool] = False
    """whether an inspection can be asked for a stage of the model"""

    # ------------------------------------------------------------------ before and during training

    @classmethod
    def check_before_training(cls) -> None:
        """Raise UsageError for what judging a run will need and is not installed."""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples | None:
        """What is shown of a model after each epoch of training; None: nothing."""
        return None

    # ------------------------------------------------------------------ verbs

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics on a split. Raises UsageError for ten crops of what are no images."""
        if getattr(options, "crops", 1) != 1:
            raise UsageError(f"ten crops are cut from images, but the run was trained on {self.run.modality.noun}")
        return self.run.measure(split, source)

    def signatures(self) -> Mapping[str, str]:
        """How a metric was calculated, by its name, where its figure means nothing without."""
        return {}

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """One dictionary for each sample of the items."""
        return predict_items(self.run.predict_batch, self.run.task, self.run.preprocess, items)

    def generate(self, prompts: Sequence[str], options: Any) -> list[str]:
        raise NotImplementedError

    def stream(self, prompt: str, options: Any) -> Iterator[str]:
        raise NotImplementedError

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:
        """What is seen inside the model with one input. Raises UsageError."""
        raise UsageError(f"inspect has nothing to show of {self.run.modality.noun} yet: {self.run.path}")

    # ------------------------------------------------------------------ the report

    def outcome(self, split: str) -> Outcome:
        """What the report shows of a split: metrics, and predictions beside the targets where there are some."""
        metrics, task = self.run.measure(split), self.run.output_task()
        if task is None:
            return Outcome(split=split, metrics=metrics, size=len(self.run.source.splits[split]), unit=self.unit)
        found = self.run.predictions(split)
        truth = self.run.preprocess.target.decode(found["target"])
        predicted = found[task.prediction_key]
        return Outcome(
            split=split,
            metrics=metrics,
            truth=truth.numpy(),
            said=predicted.numpy(),
            mistakes=self.mistakes(split, truth, predicted),
        )

    def mistakes(self, split: str, truth: Tensor, predicted: Tensor) -> list[Mistake]:
        """The worst predictions of a split."""
        return mistakes(self.run.preprocess.target, truth, predicted, lambda i, k: self.sample(split, i, k))

    def sample(self, split: str, index: int, output: int) -> Sample:
        """Where a sample comes from and what it looks like, as fields of Mistake; ``output`` is the one predicted."""
        return {"where": f"{split} {self.run.modality.unit} {index}"}

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        """Sections that only this view has, after those of the task."""
        return []

    def inside(self, split: str) -> Inside:
        """What the report shows of the inside of the model."""
        return Inside(gradients=self.gradients())

    def gradients(self) -> list[tuple[str, float]]:
        """How much gradient reaches each layer on one training batch, with dropout and batch statistics off: the model
        as it is used."""
        run = self.run
        if len(run.task.players) > 1 or type(run.task).loss is Task.loss:
            return []  # a task that writes its updates itself has no one loss
        batch = like(run.model, self.first_batch())
        with seeded(run.model, run.config.recipe.seed, 0):  # a loss may draw
            return gradient_flow(run.model, lambda model: run.task.loss(model, batch, EngineAtRest())[0])

    def first_batch(self) -> Batch:
        """The first training samples."""
        train: Any = self.run.source.splits["train"]
        some = train.subset(range(min(GRADIENT_SAMPLES, len(train))))
        samples = self.run.preprocess.encode(some, hold=True)
        return self.run.preprocess.prepare(samples.tensors)

    def written(self) -> list[Written]:
        """What the model wrote in the course of training, from samples.jsonl."""
        if not self.run.directory.samples.exists():
            return []
        *lines, _ = self.run.directory.samples.read_text(encoding="utf-8").split("\n")  # the last may be half a line
        rows = [json.loads(line) for line in lines]
        return [
            Written(
                epoch=row["epoch"],
                given=row["source"] if "source" in row else row["prompt"],
                text=row["text"],
                truth=row.get("truth", ""),
            )
            for row in rows
        ]
