"""A trained thing on disk: open it, evaluate it, predict and embed with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.data.opening import open_source
from lamina.data.preprocess import Preprocess, load_preprocess
from lamina.data.source import Source
from lamina.data.streams import Batch, InOrder
from lamina.data.target_code import align
from lamina.errors import RunError, UsageError, unknown
from lamina.runs.build import make_model, make_task
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.runs.evaluation import evaluating, like, measure, predictions
from lamina.runs.weights import load_weights
from lamina.tasks.base import Task

EVALUATION_BATCH = 256


class Run:
    """A run. ``model`` is given for a module of the user's own, which cannot be rebuilt from its name."""

    def __init__(self, path: str | Path, model: nn.Module | None = None) -> None:
        self.directory = RunDirectory.open(Path(path))
        self.config = TrainConfig.from_dict(self.directory.read("config.yaml"))
        self._given = model

    @property
    def path(self) -> Path:
        return self.directory.path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def preprocess(self) -> Preprocess:
        """The preprocessing fitted on the training data."""
        return load_preprocess(self.directory.read("preprocess.json"))

    @cached_property
    def task(self) -> Task:
        objective = self.directory.read("card.json").get("card", {}).get("objective")
        return make_task(self.preprocess, self.config.recipe, objective)

    @cached_property
    def model(self) -> nn.Module:
        """The model with its best weights, in evaluation mode, on the CPU."""
        model = self.untrained() if self._given is None else self._given
        if self.config.recipe.precision == "fp64":
            model.double()
        load_weights(model, self.directory.weights)
        return model.cpu().eval()

    def untrained(self) -> nn.Module:
        """The model as training began with it. Raises UsageError for a module of the user's own."""
        if "variant" not in self.directory.read("card.json"):
            raise UsageError(f"{self.path} holds a module of your own: open it with open_run(path, model=...)")
        return make_model(self.config, self.preprocess)

    @cached_property
    def source(self) -> Source:
        """The data the run was trained on, read again. Raises RunError where they have changed since."""
        source = open_source(self.config.data, options=self.config.options)
        if source.spec.fingerprint != self.directory.read("data.json")["fingerprint"]:
            raise RunError(f"the data of {self.path} are not those it was trained on: '{self.config.data}' has changed")
        return source

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, one for each epoch."""
        return self.directory.rows()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class or label names; names of the outputs for regression."""
        return self.preprocess.target.classes or self.preprocess.target.names

    def splits(self) -> list[str]:
        """Names of the splits of the run's data."""
        return list(self.source.splits)

    @property
    def final_split(self) -> str:
        """The split that figures are given for."""
        return final_split(self.source)

    def other_source(self, data: str) -> Source:
        """Other data of the same kind, undivided where they come undivided, classes numbered as the model knows them.

        Raises UsageError or DataError for data that cannot be read, or that the model cannot judge.
        """
        options = dataclasses.replace(self.config.options, validation=0.0, test=0.0)
        source = open_source(data, options=options)
        if source.spec.kind != self.preprocess.kind:
            raise UsageError(f"{self.path} takes {self.preprocess.kind} data, but '{data}' is {source.spec.kind} data")
        return align(source, self.preprocess.target)

    def evaluate(self, split: str | None = None, *, data: str | Source | None = None) -> dict[str, float]:
        """The task's metrics on a split, by default the final one; of other ``data`` than the run's, where given."""
        source = self.other_source(data) if isinstance(data, str) else data
        with evaluating(self.model):
            return measure(self.task, self.model, self.batches(split, source))

    def outcome(self, split: str | None = None) -> dict[str, Tensor]:
        """Every prediction on a split beside its truth: "probabilities" (N, K) or "values" (N, K), and "target"."""
        return predictions(self.task, self.model, self.batches(split))

    def predict(self, *items: Any) -> list[dict[str, Any]]:
        """What the model says of each item: image files, PIL images, arrays; rows as dicts, a data frame, a table file.

        Classification: "class", "probability", "probabilities" by class. Multi-label: "labels" (those above one half),
        "probabilities". Regression: a value for each target. Raises UsageError or DataError naming the item.
        """
        if not items:
            raise UsageError("nothing to predict: give a file, an array or a row")
        said: list[dict[str, Any]] = []
        for batch in self._inputs(items):
            with evaluating(self.model):
                out = self.task.predict(self.model, like(self.model, batch))
            said += [self._words({name: value[i] for name, value in out.items()}) for i in range(_size(batch))]
        return said

    def embed(self, *items: Any) -> Tensor:
        """The features (N, D) that the model's output layer sees, for items as ``predict`` takes them."""
        embed = getattr(self.model, "embed", None)
        if embed is None:
            raise UsageError(f"{self.config.name} has no embed method")
        parts = []
        for batch in self._inputs(items) if items else self.batches(None):
            with evaluating(self.model):
                parts.append(embed(like(self.model, batch)[self.preprocess.input_key]).float())
        return torch.cat(parts)

    def report(self) -> Path:
        """Write report.html from the best weights, and return its path."""
        from lamina.runs.reporting import write_report

        return write_report(self)

    def batches(self, split: str | None, source: Source | None = None) -> InOrder:
        """Preprocessed batches of a split, in order. Raises UsageError for a split that the data do not have."""
        source = self.source if source is None else source
        split = final_split(source) if split is None else split
        if split not in source.splits:
            raise unknown("split", split, source.splits)
        samples = self.preprocess.encode(source.splits[split], hold=False)
        return InOrder(samples, EVALUATION_BATCH, prepare=self.preprocess.prepare)

    def _inputs(self, items: Sequence[Any]) -> Iterator[Batch]:
        for item in items:
            yield self.preprocess.prepare(self.preprocess.encode_input(item))

    def _words(self, said: Batch) -> dict[str, Any]:
        """One prediction in plain values."""
        if "values" in said:
            return dict(zip(self.classes, said["values"].tolist(), strict=True))
        probabilities = dict(zip(self.classes, said["probabilities"].tolist(), strict=True))
        if self.preprocess.target.task == "multilabel":
            labels = [name for name, probability in probabilities.items() if probability > 0.5]
            return {"labels": labels, "probabilities": probabilities}
        best = max(probabilities, key=probabilities.__getitem__)
        return {"class": best, "probability": probabilities[best], "probabilities": probabilities}


def final_split(source: Source) -> str:
    """The split that figures are given for: "test", where there is none "validation", else "train"."""
    return next(name for name in ("test", "validation", "train") if name in source.splits)


def open_run(path: str | Path, model: nn.Module | None = None) -> Run:
    """Open a run: ``open_run("runs/lenet5-digits").predict("photo.png")``. Raises UsageError for any other folder."""
    return Run(path, model=model)


def list_runs(directory: str | Path = "runs") -> list[Run]:
    """The runs in a folder, in order of name."""
    folder = Path(directory)
    return [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))
