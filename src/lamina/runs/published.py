"""Published weights without a run: judged on data as they are, and, of a language model, generated with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lamina import registry
from lamina.cards.model_types import variant_of
from lamina.data.modality import MODALITIES
from lamina.data.options import DataOptions
from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.runs.build import build, folder_of, make_model, origin_of
from lamina.runs.config import TrainConfig, make_config
from lamina.runs.data import open_for
from lamina.runs.directory import RunDirectory
from lamina.runs.run import Run
from lamina.tasks.table import TASKS
from lamina.weights.folders import expect_vocabulary, options_beside
from lamina.weights.loading import Loaded, fitted
from lamina.weights.reading import StateDict, read_state_dict

WITHOUT_RUN = ("inspect", "report", "export")
OTHER_CLASSES = (
    "weights are judged as they are, so the data must have the classes that they were trained with, in the same order"
)


class Published(Run):
    """A model with weights from a file, and the verbs that need no run: evaluate, predict, generate.

    Example: ``open_pretrained("gpt2/").generate("Once upon")``
    """

    loaded: Loaded
    """what was loaded"""
    notes: tuple[str, ...]
    """what the user should read"""
    of_run: bool = False
    """whether the weights are a run's, with its preprocessing"""

    def __init__(
        self,
        config: TrainConfig,
        preprocess: Preprocess,
        model: nn.Module,
        task: str,
        state: StateDict,
        source: Source | None = None,
    ) -> None:
        self.directory = RunDirectory(Path(config.weights or ""))
        self.config, self._model, self._task, self._data = config, model, None, None
        self.preprocess, self.model, self.fitted = preprocess, model.eval(), {}
        self.card = {"task": task}
        if isinstance(config.name, str) and registry.is_model(config.name):
            self.card |= {"variant": config.name, "card": dataclasses.asdict(registry.card(config.name))}
            expect_vocabulary(model, config.name, config.weights or "")
        if source is not None:
            self.source = source
        tensors, self.loaded = fitted(model, state, advice=OTHER_CLASSES)
        model.load_state_dict(tensors, strict=False)
        self.notes = (f"weights: {self.loaded}", *preprocess.notes)

    def __repr__(self) -> str:
        return f"Published({self.config.name!r}, {str(self.path)!r})"

    @property
    def verbs(self) -> tuple[str, ...]:
        return tuple(verb for verb in super().verbs if verb not in WITHOUT_RUN)

    @property
    def assumed(self) -> dict[str, object]:
        """What is taken to be so of the weights, whose file does not say it; of a run's, which does, nothing."""
        if self.of_run:
            return {}
        return {**self.view.assumed(), "classes": list(self.preprocess.target.classes)}

    def report(self) -> Path:
        raise UsageError(f"{self.path} is no run: it has {', '.join(self.verbs)}")

    def export(self, to: str, path: str | Path | None = None, *, player: str | None = None, **options: Any) -> Any:
        raise UsageError(f"{self.path} is no run: export the model, lamina export {self.config.name} --weights")

    def in_engine(self, engine: str) -> Any:
        raise UsageError(f"{self.path} is no run: {engine} runs exports of runs")


def open_pretrained(folder: str | Path) -> Published:
    """A folder of GPT-2 as Hugging Face's transformers write it: its weights, ``config.json``, and tokenizer.

        model = lamina.open_pretrained("gpt2/")
        model.generate("Once upon", max_new_tokens=50)

    Raises UsageError for a folder of another kind, a ``config.json`` of another function than the model's, and a
    tokenizer or weights that are missing or do not fit; DataError for damaged files.
    """
    folder = Path(folder).expanduser()
    name = variant_of(folder) if folder.is_dir() else None
    if name is None:
        raise UsageError(f"{folder} holds no model of transformers: it has no config.json with a model_type")
    state = read_state_dict(folder)
    card, options = registry.card(name), options_beside(name, folder)
    beside = MODALITIES[card.inputs[0]].beside
    if beside is None:
        raise UsageError(f"{name} cannot be opened from a folder: its preprocessing is only in runs")
    config = TrainConfig(
        name=name, model=options, data=str(folder), options=DataOptions(), recipe=Recipe(), weights=str(folder)
    )
    preprocess = beside(folder, card.tasks[0], options.get("context"))
    return Published(config, preprocess, make_model(config, preprocess), card.tasks[0], state)


def open_weights(
    model: str | nn.Module,
    weights: str | Path,
    data: str,
    *,
    split: str | None = None,
    entry: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Published:
    """A model with weights from a file, and data to judge it on; nothing is trained.

        open_weights("resnet50", "resnet50.pth", "photos/").evaluate()

    ``options`` are those of ``lamina.train`` by name. Data without splits of their own are not divided, unless
    ``split`` names one of those that training makes. Raises as ``lamina.evaluate`` does.
    """
    own = model if isinstance(model, nn.Module) else None
    label = type(own).__name__.lower() if own is not None else registry.canonical(str(model))
    given = {"validation": 0.0, "test": 0.0} if split in (None, "train") else {}
    given |= {name: value for name, value in (options or {}).items() if value is not None}
    config = make_config(
        label, {**given, "data": data, "weights": str(weights), "entry": entry}, default_recipe=not own
    )
    state = read_state_dict(config.weights or "", entry=entry)
    if origin_of(config) is not None:
        return _of_run(config, state, own, [name for name, value in (options or {}).items() if value not in (None, {})])
    source, read = open_for(config.data, config.options, () if own is not None else registry.card(label).tasks)
    config = dataclasses.replace(config, options=read)
    parts = build(config, source, own, vocabulary=state.vocabulary, judged=True)
    if parts.preprocess.target.mean:
        raise UsageError(
            f"{weights} does not hold the mean and deviation of its targets, without which its predictions are no "
            "values: evaluate the run that it is from"
        )
    task = next(iter(TASKS)) if parts.kind is None else parts.kind.name
    return Published(config, parts.preprocess, parts.model, task, state, source)


def _of_run(config: TrainConfig, state: StateDict, own: nn.Module | None, given: Sequence[str]) -> Published:
    """Weights of a run: with its preprocessing, and its classes."""
    run = Run(folder_of(str(config.weights)), model=own)
    if given:
        raise UsageError(f"{run.path} is a run, which has its own preprocessing and options: leave out {given[0]}")
    if run.config.name != config.name:
        raise UsageError(f"{run.path} is a run of {run.config.name}, not of {config.name}")
    source = run.other_source(config.data_name)
    model = run.untrained() if own is None else own
    found = Published(
        dataclasses.replace(run.config, weights=config.weights), run.preprocess, model, run.task_name, state, source
    )
    found.of_run = True
    found.fitted = run.fitted if state.path == run.directory.weights else {}
    return found


def evaluate(
    model: str | nn.Module,
    *,
    weights: str | Path,
    data: str,
    split: str | None = None,
    entry: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, float]:
    """The metrics of published weights on data, as they are: nothing is trained, nothing is written.

        lamina.evaluate("resnet50", weights="resnet50.pth", data="photos/")  # {"accuracy": 0.76, ...}
        lamina.evaluate("gpt2", weights="gpt2/", data="book.txt")

    ``split``: default test, else validation, else all data. ``options``: fields of ``DataOptions`` and ``Recipe`` by
    name (``normalisation``, ``tokenizer``, ``target``), and the options of ``Run.evaluate``. Images are normalised as
    ImageNet's, unless ``normalisation`` says otherwise; a text model needs the tokenizer that it was trained with.

    Raises UsageError where weights, model and data do not fit each other: another number of classes, another tokenizer;
    DataError for files that cannot be read.
    """
    verbs = {name for kind in TASKS for name in _evaluation_options(kind)}
    asked = {name: value for name, value in options.items() if name in verbs}
    rest = {name: value for name, value in options.items() if name not in verbs} | {"model": dict(model_options or {})}
    return open_weights(model, weights, data, split=split, entry=entry, options=rest).evaluate(split, **asked)


def _evaluation_options(kind: str) -> list[str]:
    found = TASKS.find(kind)
    cls = None if found is None else found.verbs.get("evaluate")
    return [] if cls is None else [field.name for field in dataclasses.fields(cls)]
