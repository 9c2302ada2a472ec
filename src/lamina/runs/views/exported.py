"""Exported files that predict and generate like their run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from torch import nn

from lamina.data.modality import load_preprocess
from lamina.data.protocols import Preprocess
from lamina.data.streams import Batch
from lamina.errors import ExportError, RunError, UsageError
from lamina.export.engines import EngineModule
from lamina.export.facts import ExportFacts
from lamina.export.formats import engine_of
from lamina.export.onnx import OnnxModel
from lamina.export.openvino import OpenvinoModel
from lamina.export.stateful import StatefulModel
from lamina.export.writing import open_engine, open_stateful
from lamina.options.conversion import made
from lamina.options.recipe import Recipe
from lamina.runs.build import task_of
from lamina.runs.opened import Opened
from lamina.runs.prediction import items_of, predict_items
from lamina.runs.views.base import View
from lamina.runs.views.pictures import PICTURE, Pictures
from lamina.runs.views.table import view_of
from lamina.tasks.generation_options import GenerationKwargs
from lamina.tasks.kind import TaskKind
from lamina.tasks.table import TASKS


class ExportedModel:
    """An exported file that predicts like its run: ``open_exported("model.onnx").predict("photo.png")``; with its state
    it generates: ``open_exported("lm-state.onnx").generate("Once upon", greedy=True)``."""

    def __init__(self, path: Path, engine: OnnxModel | OpenvinoModel | StatefulModel) -> None:
        self.path = path
        self.facts = engine.facts
        if self.facts.preprocess is None:
            raise ExportError(
                f"{path} was exported from {self.facts.model} alone: only the export of a run holds classes and "
                "preprocessing"
            )
        files = {"preprocess.json": self.facts.preprocess, **self.facts.files}
        if self.facts.tokenizer is not None:
            files["tokenizer.json"] = self.facts.tokenizer
        try:
            self.preprocess = load_preprocess(files)
        except RunError as error:
            raise ExportError(f"{path}: {error}") from error
        self.kind = _kind_of(self.facts.task or self.preprocess.target.task, path)
        expect_usable(self.kind, self.facts, path)
        objective = self.kind.objective({"name": self.facts.objective, **self.facts.objective_options})
        self.task = task_of(self.kind, self.preprocess, Recipe(), objective)
        if fitted := {name: torch.tensor(value) for name, value in self.facts.fitted.items()}:
            self.task.load_finalized(fitted)
        self.model: nn.Module = engine if isinstance(engine, nn.Module) else EngineModule(engine)

    @property
    def view(self) -> View:
        """The view of its task and modality, over this file in the place of a run: of what a run has it uses model,
        preprocess and task."""
        return view_of(self.kind.name, self.preprocess.kind)(cast(Opened, self))

    def predict(self, *items: Any, **options: Any) -> list[dict[str, Any]]:
        """The predictions for each item, as ``Run.predict`` returns them: ``exported.predict("a.png", "b.png")``.

        Raises UsageError for options of a task that predicts in one pass, which the engine torch has.
        """
        given = self._options("predict", options)
        if not self.kind.predicts_at_once:
            return self.view.predict(self.view.items(items), given)
        if options:
            raise UsageError(f"--{next(iter(options)).replace('_', '-')} is for the engine torch, with the run")
        every = items_of(self.preprocess, items)
        if self.facts.preprocesses:
            return predict_items(self._predict_pictures, self.task, cast(Preprocess, Pictures(self.preprocess)), every)
        return predict_items(self.predict_batch, self.task, self.preprocess, every)

    def generate(self, *prompts: str, **options: Unpack[GenerationKwargs]) -> list[str]:
        """Continuations of prompts, as ``Run.generate`` returns them."""
        return self.view.generate(prompts, self._options("generate", options))

    def stream(self, prompt: str, **options: Unpack[GenerationKwargs]) -> Iterator[str]:
        """As ``generate`` for one prompt, piece by piece."""
        return self.view.stream(prompt, self._options("generate", options))

    def _options(self, verb: str, given: Any) -> Any:
        """A verb's options. Raises UsageError for a verb that the file's task does not have."""
        if verb not in self.kind.verbs:
            have = ", ".join(name for name in self.kind.verbs if name != "evaluate")
            raise UsageError(f"{self.path} has no {verb}: its task is {self.kind.name}, it has {have}")
        return made(self.kind.verbs[verb], given, f"option of {verb}")

    def _predict_pictures(self, batch: Batch) -> Batch:
        found = self.model(batch[PICTURE])
        return dict(zip(self.facts.outputs, found if isinstance(found, tuple) else (found,), strict=True))

    def predict_batch(self, batch: Batch) -> Batch:
        """The task's predictions for a prepared batch."""
        with torch.no_grad():
            return self.task.predict(self.model, batch)


def open_exported(path: str | Path, engine: str | None = None) -> ExportedModel:
    """Open an exported ``.onnx`` or ``.xml`` file in ONNX Runtime or OpenVINO, by its suffix, or in ``engine``.

        lamina.open_exported("lenet5.onnx").predict("photo.png")  # [{"class": "3", ...}]

    Raises UsageError for a path that is not there, another kind of file and an engine that is not installed;
    ExportError for a file that is damaged, has no preprocessing, or keeps weights outside its folder.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    engine = engine_of(path, engine)
    opened = open_engine(path, engine)
    return ExportedModel(path, open_stateful(opened, path, engine) if opened.facts.stateful else opened)


def expect_usable(kind: TaskKind | None, facts: ExportFacts, path: Path) -> None:
    """Raise UsageError for what neither predicts in one pass nor has a state: a file of a language model without it, a
    model that generates other things, a task of the user's own."""
    if kind is None:
        raise UsageError(f"{path} was trained for a task of your own: predict with the run, in torch")
    if kind.predicts_at_once or facts.stateful:
        return
    if facts.inputs[0].below is None:
        raise UsageError(f"{path} is of a model that generates: use generate with the run, in torch")
    if path.is_file():
        raise UsageError(f"{path} is of a model that generates, without its state: export it with --with-state")


def _kind_of(task: str, path: Path) -> TaskKind:
    if task not in TASKS:
        raise ExportError(f"{path} predicts for the task '{task}', which no installed package provides")
    return TASKS[task]
