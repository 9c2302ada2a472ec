"""A view: the verbs, report and inspection of a run, by task and modality.

This base class serves every task and modality; the rows of the table of views (``views.table``) add to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from lamina.data.options import DataOptions
from lamina.data.protocols import Preprocess
from lamina.data.source import Source, Split
from lamina.errors import UsageError
from lamina.inspection.gradients import gradient_flow
from lamina.report.blocks import Section
from lamina.report.content import Internals, Mistake, Outcome, ReportContent
from lamina.report.marks import TrainingSample
from lamina.runs.evaluation import like, seeded
from lamina.runs.opened import Opened
from lamina.runs.prediction import items_of, predict_items
from lamina.runs.views.mistakes import Sample, mistakes
from lamina.tasks.base import Batch, EngineAtRest, Task

GRADIENT_SAMPLES = 256


class TrainingSamples:
    """Samples generated after each epoch, always from the same prompts or inputs."""

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        """Texts, for samples.jsonl."""
        return iter(())

    def picture(self, model: nn.Module) -> bytes | None:
        """A PNG file, for the folder ``samples``; None: none."""
        return None


class InspectionPage(Protocol):
    """The results of an inspection, and its page."""

    @property
    def seen(self) -> Any: ...
    @property
    def model(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def predictions(self) -> Sequence[tuple[str, str]]: ...
    @property
    def random(self) -> bool: ...
    def html(self) -> str: ...
    def pictures(self) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class View:
    """Verbs, report and inspection of an opened run; a package adds its own by the entry points ``lamina.views``.

    class RankingView(View):
        unit = "query"

        def sections(self, content, outcome):
            return [Section(name="ranks", title="Ranks", blocks=[...])]
    """

    run: Opened

    unit: ClassVar[str] = "sample"
    """what a split's length counts"""
    inspects: ClassVar[str] = "image"
    """the keyword of ``Run.inspect`` that it takes: "text", or "image", in whose place samples of other data come; "":
    a run is inspected as it is"""
    has_stages: ClassVar[bool] = False
    """whether an inspection takes a ``stage``"""

    takes_prompts: ClassVar[bool] = True
    """whether ``generate`` continues texts"""
    validation_metrics: ClassVar[tuple[str, ...]] = ()
    """the names that ``validation_scores`` computes"""

    # ------------------------------------------------------------------ before and during training

    @classmethod
    def check_before_training(cls) -> None:
        """Raise UsageError for a package that evaluation needs and that is not installed."""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples | None:
        """Samples to generate after each epoch of training; None: none."""
        return None

    @classmethod
    def drawn(cls, task: Task, preprocess: Preprocess, model: nn.Module, count: int, seed: int) -> list[Any] | None:
        """Samples that the model generates, as ``Preprocess.undo`` makes them; None for models that generate none."""
        return None

    @classmethod
    def inspect_model(
        cls, name: str, item: Any, target: str | int | None, stage: int | None, weights: str | None
    ) -> InspectionPage:
        """Inspect a variant without a run, with random weights or those of a file."""
        raise UsageError(f"{name} is not an image model: inspect without a run needs one")

    @classmethod
    def validation_scores(
        cls, task: Task, preprocess: Preprocess, model: nn.Module, split: Split, options: DataOptions
    ) -> dict[str, float]:
        """Metrics of a validation split beside the task's own, worked out where one of them is monitored."""
        return {}

    def keep(self) -> None:
        """Called once training is over: write what else belongs to the run."""

    # ------------------------------------------------------------------ verbs

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics on a split. Raises UsageError for ten crops on data that are not images."""
        if getattr(options, "crops", 1) != 1:
            raise UsageError(f"ten crops are cut from images, but the run was trained on {self.run.modality.noun}")
        return self.run.measure(split, source, task=self.run.task.evaluated_with(options))

    def signatures(self, source: Source | None = None) -> Mapping[str, str]:
        """Signatures of metrics that are comparable only with one (BLEU, chrF), for data other than the run's."""
        return {}

    def assumed(self) -> Mapping[str, object]:
        """What is taken to be so of published weights, whose file does not say it, in words by name."""
        return {}

    def items(self, given: Sequence[Any]) -> list[Any]:
        """The items that are given one by one. Raises UsageError for nothing at all."""
        return items_of(self.run.preprocess, given)

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """One dictionary for each sample of the items."""
        task = self.run.task.predicted_with(options)
        return predict_items(partial(self.run.predict_batch, task=task), task, self.run.preprocess, items)

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Texts that continue the prompts; without prompts pictures (H, W, C) uint8, or rows."""
        raise NotImplementedError

    def columns(self, options: Any) -> int | None:
        """Columns of a grid of what ``generate`` makes with these options; None: as wide as high."""
        return None

    def style(self, content: Any, styles: Sequence[Any], options: Any) -> Any:
        """A picture (H, W, 3) uint8 in the run's style, or in that of ``styles``."""
        raise NotImplementedError

    def stream(self, prompt: str, options: Any) -> Iterator[str]:
        raise NotImplementedError

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:
        """Inspect the model with one input. Raises UsageError."""
        raise UsageError(f"inspect does not take {self.run.modality.noun} yet: lamina report {self.run.path}")

    # ------------------------------------------------------------------ the report

    def outcome(self, split: str) -> Outcome:
        """Results on a split for the report: metrics, and predictions with targets where there are targets."""
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
            predictions=predicted.numpy(),
            mistakes=self.mistakes(split, truth, predicted),
        )

    def mistakes(self, split: str, truth: Tensor, predicted: Tensor) -> list[Mistake]:
        """The worst predictions of a split."""
        return mistakes(self.run.preprocess.target, truth, predicted, lambda i, k: self.sample(split, i, k))

    def sample(self, split: str, index: int, output: int) -> Sample:
        """A sample as fields of Mistake; ``output`` is the index of the predicted output."""
        return {"where": f"{split} {self.run.modality.unit} {index}"}

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        """Additional sections of the report, after those of the task."""
        return []

    def internals(self, split: str) -> Internals:
        """Internals of the model for the report."""
        return Internals(gradients=self.gradients())

    def gradients(self) -> list[tuple[str, float]]:
        """Gradient norm over weight norm of each parameter on one training batch, in evaluation mode."""
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

    def saved_samples(self) -> list[TrainingSample]:
        """The samples generated during training, from samples.jsonl."""
        if not self.run.directory.samples.exists():
            return []
        *lines, _ = self.run.directory.samples.read_text(encoding="utf-8").split("\n")  # the last may be half a line
        rows = [json.loads(line) for line in lines]
        return [
            TrainingSample(
                epoch=row["epoch"],
                given=row["source"] if "source" in row else row["prompt"],
                text=row["text"],
                truth=row.get("truth", ""),
            )
            for row in rows
        ]
