"""Writing a verified export: everything is written into a temporary folder, and moved out once it is verified."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lamina.errors import ExportError, UsageError
from lamina.export.facts import ExportFacts
from lamina.export.folding import fold_batch_norms
from lamina.export.formats import FORMATS, check_engine, format_named
from lamina.export.inputs import TRACED, TRIED, example_of, output_names, with_file_signature
from lamina.export.onnx import OnnxModel, halve_weights, write_onnx
from lamina.export.openvino import OpenvinoModel, write_openvino
from lamina.export.options import ExportOptions
from lamina.export.program import ProgramModel, capture, write_program
from lamina.export.quantising import Quantised, Trial, quantise
from lamina.export.stateful import TRACED as TRACED_STEP
from lamina.export.stateful import (
    Encoder,
    StatefulModel,
    Step,
    encoder_path,
    memory_of,
    of_encoder,
    verify_state,
    with_state,
)
from lamina.export.verification import verify

EngineModel = OnnxModel | OpenvinoModel | ProgramModel
PLAIN = ExportOptions()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A verified exported file."""

    path: Path
    files: tuple[Path, ...]
    """all files of the export, including ``path``"""
    bytes: int
    """total size of the files"""
    difference: float
    """the largest difference of the float model's file from the model's outputs, relative to the largest output; see
    ``verify``"""
    facts: ExportFacts
    note: str = ""
    """what the user should read: why the file is not in int8"""


def write_export(
    model: nn.Module,
    facts: ExportFacts,
    to: str,
    path: Path,
    options: ExportOptions = PLAIN,
    trial: Trial | None = None,
) -> Exported:
    """Export ``model`` to ``path``; an existing file is replaced on success only.

    Args:
        model: the model; a copy of it is exported, in evaluation mode and float32.
        facts: the metadata, which includes the model's inputs.
        to: "onnx", "torch" or "openvino".
        path: the file to write; its suffix must be the format's.
        options: in which numbers.
        trial: what int8 is calibrated and judged with.

    Raises UsageError for an unknown format, one that is not installed, and a path that does not fit; ExportError for a
    model that cannot be exported, an export whose outputs differ from the model's, and an int8 that is too inaccurate.
    """
    kind = format_named(to)
    check_path(path, to)
    own = copy.deepcopy(model).cpu().float().eval()
    facts = replace(facts, outputs=output_names(own, facts), precision="fp16" if options.fp16 else "fp32")
    if trial is not None and len(facts.inputs) == 1 and facts.inputs[0].below is None:
        own = _folded(own, facts)
    parts = list(_parts(own, facts, path, options))
    draft = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        for folder in (draft, draft / "onnx", draft / to):
            folder.mkdir(exist_ok=True)
        target, onnx_file = draft / to / path.name, draft / "onnx" / path.with_suffix(".onnx").name
        for part in parts:
            _write(part, to, draft, options)
        opened = [_opened(draft / to / part.name, kind.engine) for part in parts]
        if options.with_state:
            difference = verify_state(StatefulModel(*opened), own, parts[0].facts, str(path))
        else:
            difference = verify(opened[0], parts[0].module, facts, str(path))
        done = Quantised(path=target, facts=parts[0].facts)
        if trial is not None:
            done = quantise(onnx_file, target, facts, to, trial, str(path))
            path = _renamed(done, path) if trial.renames else path
        files = _move_out(done.path.parent, path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    size = sum(file.stat().st_size for file in files)
    return Exported(path=path, files=files, bytes=size, difference=difference, facts=done.facts, note=done.note)


@dataclass(frozen=True)
class _Part:
    """One file of an export."""

    name: str
    module: nn.Module
    facts: ExportFacts
    sizes: tuple[int, ...] = TRACED
    """of the example that is traced"""


def _parts(model: nn.Module, facts: ExportFacts, path: Path, options: ExportOptions) -> Iterator[_Part]:
    """The files of a model: one, or the step of a decoder and the encoder that it needs."""
    if not options.with_state:
        yield _Part(path.name, with_file_signature(model, facts), facts)
        return
    step = with_state(facts, model, facts.model)
    yield _Part(path.name, Step(model, step), step, TRACED_STEP)
    if memory_of(step):
        yield _Part(encoder_path(path).name, Encoder(model), of_encoder(facts, step))


def _write(part: _Part, to: str, draft: Path, options: ExportOptions) -> None:
    """Write a part into the folder of its format, by way of its ONNX file in the folder "onnx"."""
    target = draft / to / part.name
    onnx_file = draft / "onnx" / target.with_suffix(".onnx").name
    program = capture(part.module, part.facts, part.sizes)
    if to == "torch":
        write_program(program, part.facts, target)
        return
    write_onnx(program, part.facts, onnx_file)
    if options.fp16:
        halve_weights(onnx_file)
    if to == "openvino":
        write_openvino(onnx_file, part.facts, target)


def _opened(path: Path, engine: str) -> EngineModel:
    """A file that was just written."""
    return ProgramModel(path) if engine == "torch" else open_engine(path, engine)


def _folded(model: nn.Module, facts: ExportFacts) -> nn.Module:
    """The model with its batch norms folded, which the engines cannot once it is quantised; as it is where its code
    does not allow it."""
    folded = copy.deepcopy(model)
    try:
        fold_batch_norms(folded, *example_of(facts, TRIED[1], torch.Generator().manual_seed(0)))
    except Exception:  # a model that accesses its own norms
        return model
    return folded


def open_stateful(opened: OnnxModel | OpenvinoModel, path: Path, engine: str) -> StatefulModel:
    """An opened file with a state, and the encoder beside it where it needs one. Raises ExportError for one that is not
    there, or is not of the same weights."""
    if not memory_of(opened.facts):
        return StatefulModel(opened)
    beside = encoder_path(path)
    if not beside.is_file():
        raise ExportError(f"{path} is incomplete: its encoder, {beside.name}, is not beside it")
    encoder = open_engine(beside, engine)
    if encoder.facts.weights != opened.facts.weights:
        raise ExportError(f"{path} and {beside.name} are of different weights: export both again")
    return StatefulModel(opened, encoder)


def open_engine(path: Path, engine: str) -> OnnxModel | OpenvinoModel:
    """Open an exported file in an engine, "onnxruntime" or "openvino".

    Raises UsageError for an engine that is not installed, ExportError for a file that is damaged, was not exported by
    lamina, or keeps weights outside its folder.
    """
    check_engine(engine)
    return OnnxModel(path) if engine == "onnxruntime" else OpenvinoModel(path)


def check_path(path: Path, to: str) -> None:
    """Raise UsageError for a file name without the format's suffix, and for a folder that does not exist."""
    suffix = FORMATS[to].suffix
    if path.suffix != suffix:
        raise UsageError(f"{path}: the name of an export to {to} must end in {suffix}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def _renamed(done: Quantised, path: Path) -> Path:
    """Where a file goes that was to be int8: under the name of its precision. Its drafts are renamed, too."""
    stem = path.stem.removesuffix("-int8") + ("" if done.facts.precision == "fp32" else f"-{done.facts.precision}")
    if any(file.suffix == ".data" for file in done.path.parent.iterdir()):  # the file names it
        return path
    for file in list(done.path.parent.iterdir()):
        file.rename(file.with_stem(stem))
    return path.with_stem(stem)


def _move_out(draft: Path, path: Path) -> tuple[Path, ...]:
    """Move the files next to ``path``, ``path`` itself last: once it exists, so does everything it needs."""
    names = sorted((file.name for file in draft.iterdir()), key=lambda name: name == path.name)
    for name in names:
        descriptor = os.open(draft / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft / name, path.parent / name)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return tuple(path.parent / name for name in names)
