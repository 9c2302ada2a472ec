"""Runs and variants exported, and exported files predicted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from lamina import registry
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.preprocess import Preprocess, files_of, load_preprocess
from lamina.data.streams import Batch
from lamina.data.table.preprocess import TablePreprocess
from lamina.errors import ExportError, RunError, UsageError
from lamina.export.example import InputFacts, input_facts
from lamina.export.facts import ExportFacts
from lamina.export.formats import FORMATS, check_engine, engine_of, format_named
from lamina.export.onnx import OnnxModel
from lamina.export.openvino import OpenvinoModel
from lamina.export.writing import Exported, check_path, open_engine, write_export
from lamina.options.recipe import Recipe
from lamina.runs.build import make_task
from lamina.runs.prediction import predict_items
from lamina.runs.weights import digest
from lamina.version import __version__
from lamina.weights.loading import load_weights

if TYPE_CHECKING:
    from lamina.runs.run import Run


class ExportedModel:
    """An exported file that predicts as its run does: ``open_exported("model.onnx").predict("photo.png")``."""

    def __init__(self, path: Path, engine: OnnxModel | OpenvinoModel) -> None:
        self.path = path
        self.facts = engine.facts
        if self.facts.preprocess is None:
            raise ExportError(
                f"{path} was exported from {self.facts.model} alone: only the export of a run knows its classes and "
                "how to prepare its input"
            )
        self.preprocess = load_preprocess(self.facts.preprocess, self.facts.tokenizer)
        _expect_answers(self.preprocess, path)
        self._task = make_task(self.preprocess, Recipe(), self.facts.objective)
        self._engine = engine

    def predict(self, *items: Any) -> list[dict[str, Any]]:
        """What the model says of each item, as ``Run.predict`` tells it."""
        return predict_items(self._say, self.preprocess, items)

    def _say(self, batch: Batch) -> Batch:
        with torch.no_grad():
            return self._task.predict(cast(nn.Module, self._engine), batch)  # called with a tensor, and nothing else


def open_exported(path: str | Path, engine: str | None = None) -> ExportedModel:
    """Open an exported ``.onnx`` or ``.xml`` file, in ONNX Runtime or OpenVINO as its ending says, or in ``engine``.

    Raises UsageError for a path that is not there, another kind of file and an engine that is not installed;
    ExportError for a file that is damaged, does not say how to prepare its input, or keeps weights outside its folder.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    return ExportedModel(path, open_engine(path, engine_of(path, engine)))


def export_run(run: Run, to: str, path: str | Path | None = None) -> Exported:
    """See ``Run.export``."""
    kind = format_named(to)
    target = _own_path(run, kind.suffix) if path is None else Path(path)
    check_path(target, to)
    return write_export(run.model, _facts_of(run), to, target)


def export_variant(
    name: str, to: str, path: str | Path | None = None, weights: str | Path | None = None, seed: int = 0
) -> Exported:
    """Export a variant, with the weights of a file or random ones, by default to ``<name>`` in the current folder.

    Raises what ``create_model``, ``load_weights`` and ``write_export`` raise.
    """
    name, kind = registry.canonical(name), format_named(to)
    target = Path(f"{name}{kind.suffix}") if path is None else Path(path)
    check_path(target, to)
    row = registry.variant(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.build(row, row.config)
    if weights is not None:
        load_weights(model, weights)
    facts = ExportFacts(
        model=name,
        **input_facts(row, row.config),
        objective=row.card.objective,
        weights="" if weights is None or not Path(weights).is_file() else digest(Path(weights)),
        version=__version__,
    )
    return write_export(model, facts, to, target)


def run_in_engine(run: Run, engine: str) -> ExportedModel:
    """The run in another engine, by way of an export in its folder: made once, and again where the weights are others.

    Raises UsageError for an engine that is not installed, and what ``Run.export`` raises.
    """
    check_engine(engine)
    _expect_answers(run.preprocess, run.path)
    to = next(name for name, kind in FORMATS.items() if kind.engine == engine)
    path = _own_path(run, FORMATS[to].suffix)
    facts = _facts_of(run)
    if path.is_file() and "variant" in run.directory.read("card.json"):  # a module of the user's may have changed
        try:
            opened = open_engine(path, engine)
            if opened.facts.to_strings() == facts.to_strings():
                return ExportedModel(path, opened)
        except ExportError:  # damaged, or of another version: replaced
            pass
    return ExportedModel(path, open_engine(export_run(run, to, path).path, engine))


def _expect_answers(preprocess: Preprocess, path: Path) -> None:
    """Raises UsageError for a model that writes texts: a file gives the logits of next tokens, and no more."""
    if preprocess.target.task in ("language-modelling", "translation"):
        raise UsageError(f"{path} is of a model that writes texts: predict and generate take a run, in torch")


def _facts_of(run: Run) -> ExportFacts:
    if not run.directory.weights.is_file():
        raise RunError(f"{run.path} has no weights yet: it was stopped before its first epoch was done")
    files = files_of(run.preprocess)
    return ExportFacts(
        model=run.config.name,
        **_input_facts_of(run),
        classes=run.classes,
        objective=run.directory.read("card.json").get("card", {}).get("objective"),
        preprocess=files["preprocess.json"],
        tokenizer=files.get("tokenizer.json"),
        weights=digest(run.directory.weights),
        version=__version__,
    )


def _input_facts_of(run: Run) -> InputFacts:
    """What a file of this run is called with."""
    made = run.preprocess
    match made:
        case ImagePreprocess():
            return {"input": made.input_key, "shape": (made.channels, made.height, made.width), "limits": {}}
        case TablePreprocess():
            return {"input": made.input_key, "shape": (len(made.feature_names),), "limits": {}}
    limits = {name: size for name, size in made.model_options().items() if name.endswith("vocab_size")}
    context = getattr(getattr(run.model, "config", None), "context", None)
    if context is not None:
        limits["context"] = context
    return {"input": "translation" if "source_vocab_size" in limits else "tokens", "shape": (), "limits": limits}


def _own_path(run: Run, suffix: str) -> Path:
    """Where exports of a run lie: its folder ``exports``."""
    folder = run.path / "exports"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder / f"{run.config.name}{suffix}"
