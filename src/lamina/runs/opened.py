"""An opened run: directory, configuration, data, preprocessing, task and model. Its verbs are in ``run``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.data.modality import MODALITIES
from lamina.data.opening import Data, given_data
from lamina.data.options import DataOptions, EvaluationOptions
from lamina.data.protocols import BatchOptions, Modality, Preprocess
from lamina.data.source import Source, targets_of
from lamina.data.streams import Batch
from lamina.data.targets.code import align
from lamina.data.targets.labels import READ_FOR
from lamina.errors import RunError, UsageError, unknown
from lamina.runs.build import batch_options, make_model, task_of
from lamina.runs.config import TrainConfig
from lamina.runs.data import chained, open_data, parts_of
from lamina.runs.directory import RunDirectory
from lamina.runs.evaluation import like, measure, predicting, seeded
from lamina.runs.finding import find_data
from lamina.runs.history import History
from lamina.runs.weights import load_tensors, load_weights
from lamina.tasks.base import OneOutput, Task
from lamina.tasks.kind import Objective, TaskKind
from lamina.tasks.table import TASKS
from lamina.training.engine import monitored


class Opened:
    """A run on disk, each part read on first use.

    ``model`` is for a run of the user's own module, ``task`` for one of the user's own task, ``data`` for data that
    were in memory, or the new place of data that have moved.
    """

    def __init__(
        self,
        path: str | Path,
        model: nn.Module | None = None,
        task: Task | None = None,
        data: Data | None = None,
    ) -> None:
        self.directory = RunDirectory.open(Path(path))
        self.config = TrainConfig.of_run(self.directory)
        self._model, self._task = model, task
        self._data = None if data is None else given_data(data)

    @property
    def path(self) -> Path:
        return self.directory.path

    @cached_property
    def preprocess(self) -> Preprocess:
        """The preprocessing fitted on the training data."""
        return self.directory.preprocess()

    @property
    def modality(self) -> Modality:
        return MODALITIES[self.preprocess.kind]

    def expect_installed(self) -> None:
        """Raise RunError where the run is of packages that are not installed, naming all that is missing."""
        missing = [f"the {what} '{name}'" for what, name, known in self._needs() if not known]
        if missing:
            named = sorted(set(self.card.get("packages", {}).values()))
            advice = f" (it was trained with {' and '.join(named)})" if named else ""
            raise RunError(f"{self.path} needs {' and '.join(missing)}, which no installed package has{advice}")

    def _needs(self) -> Iterator[tuple[str, str, bool]]:
        """What a table or the registry must have for this run: what it is, its name, whether it is there."""
        if self._model is None and (variant := self.card.get("variant")) is not None:
            yield "model", variant, registry.is_model(variant)
        kind = str(self.directory.read("preprocess.json").get("kind"))
        yield "modality", kind, kind in MODALITIES
        if (task := self.card.get("task")) is not None:
            yield "task", task, task in TASKS

    @cached_property
    def card(self) -> dict[str, Any]:
        """card.json: facts of the trained model."""
        return self.directory.read("card.json")

    @cached_property
    def kind(self) -> TaskKind | None:
        """The run's row in the table of tasks; None for a task of the user's own.

        Raises RunError where the package that provides the task is not installed.
        """
        name = self.card.get("task", self.preprocess.target.task)
        if self.card.get("own_task"):
            return None
        if name not in TASKS:
            raise RunError(f"{self.path} was trained for the task '{name}', which no installed package provides")
        return TASKS[name]

    @cached_property
    def objective(self) -> Objective:
        """The objective that was minimised."""
        if self.kind is None:
            return Objective(name="own")
        return self.kind.objective(self.config.objective, self.facts().get("objective"))

    @cached_property
    def task(self) -> Task:
        """The task, with what ``Task.finalize`` fitted."""
        if self._task is None and self.kind is None:
            raise UsageError(f"{self.path} was trained for a task of your own: open it with open_run(path, task=...)")
        task = self._task
        if task is None:
            task = task_of(cast(TaskKind, self.kind), self.preprocess, self.config.recipe, self.objective)
        if fitted := self.fitted:
            task.load_finalized(fitted)
        return task

    @cached_property
    def fitted(self) -> dict[str, Tensor]:
        """What ``Task.finalize`` fitted; empty where it fitted nothing, and while the run is in training."""
        path = self.directory.fitted
        return load_tensors(path) if path.is_file() else {}

    @property
    def task_name(self) -> str:
        """The task's name in the table, or the class of a task of the user's own."""
        return str(self.card["own_task"]) if self.kind is None else self.kind.name

    @property
    def monitor(self) -> str | None:
        """The validation metric that chose the best weights; None where none does, and for a task of the user's own
        that was not given."""
        if self.kind is None and self._task is None:
            return None
        monitor = monitored(self.task, self.config.recipe)
        return None if monitor is None else monitor[0]

    @cached_property
    def model(self) -> nn.Module:
        """The model with its best weights, in evaluation mode, on the CPU."""
        model = self.untrained() if self._model is None else self._model
        if self.config.recipe.precision == "fp64":
            model.double()
        self.directory.expect_weights()
        load_weights(model, self.directory.weights)
        return model.cpu().eval()

    def untrained(self) -> nn.Module:
        """The model built from its options, with random weights.

        Raises UsageError for a module of the user's own, RunError for a variant whose package is not installed.
        """
        if "variant" not in self.card:
            raise UsageError(f"{self.path} holds a module of your own: open it with open_run(path, model=...)")
        if not registry.is_model(self.card["variant"]):
            raise RunError(f"{self.path} trains '{self.card['variant']}', which no installed package provides")
        return make_model(self.config, self.preprocess, self.kind, self.objective)

    @cached_property
    def source(self) -> Source:
        """The data the run was trained on, read again. Raises RunError where they have changed since, or are gone,
        UsageError where they were in memory and are not given again."""
        return find_data(self.directory, self.config.options, self._data)[1]

    @property
    def history(self) -> History:
        """The rows of metrics.csv, one for each epoch, which answer as a data frame, too."""
        return History(self.directory.rows())

    @property
    def classes(self) -> tuple[str, ...]:
        """Class or label names; names of the targets for regression."""
        return self.preprocess.target.labels

    def splits(self) -> list[str]:
        """Names of the splits of the run's data."""
        return list(self.source.splits)

    @property
    def final_split(self) -> str:
        """The split that results are reported for."""
        return final_split(self.source)

    def other_source(self, data: Data) -> Source:
        """Other data of the same kind with the classes of this run; data without splits of their own are not divided.
        Where they are the data of the run, given again or at another place, their splits are those of the training.

        Raises UsageError or DataError for data that cannot be read, or that do not fit the model.
        """
        target, given = self.preprocess.target, given_data(data)
        task = target.task if target.task in READ_FOR else self.config.options.task
        options: DataOptions = EvaluationOptions.of(self.config.options, task)
        if (reading_options := getattr(self.preprocess, "reading_options", None)) is not None:
            options = reading_options(options)
        source = open_data(given, options)
        if source.spec.kind != self.preprocess.kind:
            raise UsageError(
                f"{self.path} takes {self.preprocess.kind} data, but '{source.spec.name}' is {source.spec.kind} data"
            )
        if source.spec.fingerprint == self.directory.read("data.json")["fingerprint"]:
            own = find_data(self.directory, self.config.options, given)[1]
            self.__dict__.setdefault("source", own)  # a report needs them, too
            return own
        return align(source, target)

    def batches(
        self, split: str | None, source: Source | None = None, preprocess: Preprocess | None = None
    ) -> Iterable[Batch]:
        """Preprocessed batches of a split, in order. Raises UsageError for a split that the data do not have."""
        preprocess = self.preprocess if preprocess is None else preprocess
        source = self.source if source is None else source
        split = final_split(source) if split is None else split
        if split not in source.splits:
            raise unknown("split", split, source.splits)
        options, parts = self.batch_options, parts_of(source, split, self.task)
        return chained(
            preprocess.evaluation_batches(preprocess.encode(part, hold=False), options) for part in parts.values()
        )

    @property
    def batch_options(self) -> BatchOptions:
        return batch_options(self.config.recipe, self.task, self.model)

    def measure(
        self,
        split: str | None,
        source: Source | None = None,
        model: nn.Module | None = None,
        preprocess: Preprocess | None = None,
        task: Task | None = None,
    ) -> dict[str, float]:
        """The task's metrics on a split, by default of this model with this preprocessing."""
        batches = self.batches(split, source, preprocess)
        model = self.model if model is None else model
        task = self.task if task is None else task
        with predicting(model):
            return measure(task, model, batches, seed=self.config.recipe.seed)

    def shortfalls(self, split: str, metrics: Mapping[str, float]) -> list[str]:
        """A note where the model is no better on a split than a constant prediction (``Task.shortfall``)."""
        found = self.task.shortfall(metrics)
        return [] if found is None else [f"on the {split} split the model {found}"]

    def validation_shortfalls(self) -> list[str]:
        """``shortfalls`` of the weights that were kept, when they were judged on the validation split."""
        kept = next((row for row in reversed(self.history) if row.get("best")), {})
        group = "validation_"
        metrics = {name.removeprefix(group): value for name, value in kept.items() if name.startswith(group)}
        return self.shortfalls("validation", metrics)

    def predict_batch(self, batch: Batch, number: int = 0, task: Task | None = None) -> Batch:
        """The task's predictions for a prepared batch; random numbers depend on the run's seed and ``number``."""
        with seeded(self.model, self.config.recipe.seed, number):
            return (self.task if task is None else task).predict(self.model, like(self.model, batch))

    def predictions(
        self, split: str | None, source: Source | None = None, task: Task | None = None
    ) -> dict[str, Tensor]:
        """All predictions on a split with their targets, on the CPU."""
        found: dict[str, list[Tensor]] = {}
        for number, batch in enumerate(self.batches(split, source)):
            rows = {
                **self.predict_batch(batch, number, task),
                **{name: batch[name] for name in ("target",) if name in batch},
            }
            for name, value in rows.items():
                found.setdefault(name, []).append(value.cpu())
        return {name: torch.cat(parts) for name, parts in found.items()}

    def embed_batch(self, batch: Batch) -> Tensor:
        """The features (B, D) that the output layer sees. Raises UsageError for a model without ``embed``."""
        embed = getattr(self.model, "embed", None)
        if embed is None:
            raise UsageError(f"{self.config.name} has no method 'embed'")
        args, kwargs = self.preprocess.call(like(self.model, batch))
        with predicting(self.model):
            features: Tensor = embed(*args, **kwargs)
        return features.float()

    @property
    def embeds(self) -> bool:
        """Whether the model has ``embed``, without building a variant to find out."""
        if self._model is not None:
            return hasattr(self._model, "embed")
        name = self.card.get("variant")
        return name is not None and registry.is_model(name) and hasattr(registry.variant(name).build, "embed")

    def output_task(self) -> OneOutput | None:
        """The task, where it predicts one tensor to be compared with targets; else None."""
        task = self.task
        if not hasattr(task, "prediction_key") or targets_of(self.source.splits["train"]) is None:
            return None
        return cast(OneOutput, task)

    def facts(self) -> Mapping[str, Any]:
        """The saved card of the variant; empty for a module of the user's own."""
        facts: Mapping[str, Any] = self.card.get("card", {})
        return facts


def final_split(source: Source) -> str:
    """The split that results are reported for: "test", where there is none "validation", else "train"."""
    return next(name for name in ("test", "validation", "train") if name in source.splits)
