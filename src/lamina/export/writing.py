"""Writing a verified export: everything is written into a temporary folder, and moved out once it is verified."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from lamina.errors import ExportError, UsageError
from lamina.export.facts import ExportFacts
from lamina.export.formats import FORMATS, check_engine, format_named
from lamina.export.inputs import output_names, with_file_signature
from lamina.export.onnx import OnnxModel, write_onnx
from lamina.export.openvino import OpenvinoModel, write_openvino
from lamina.export.program import ProgramModel, capture, write_program
from lamina.export.verification import verify

EngineModel = OnnxModel | OpenvinoModel | ProgramModel


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A verified exported file."""

    path: Path
    files: tuple[Path, ...]
    """all files of the export, including ``path``"""
    bytes: int
    """total size of the files"""
    difference: float
    """the largest difference from the model's outputs, relative to the largest output; see ``verify``"""
    facts: ExportFacts


def write_export(model: nn.Module, facts: ExportFacts, to: str, path: Path) -> Exported:
    """Export ``model`` to ``path``; an existing file is replaced on success only.

    Args:
        model: the model; a copy of it is exported, in evaluation mode and float32.
        facts: the metadata, which includes the model's inputs.
        to: "onnx", "torch" or "openvino".
        path: the file to write; its suffix must be the format's.

    Raises UsageError for an unknown format, one that is not installed, and a path that does not fit; ExportError for a
    model that cannot be exported, and an export whose outputs differ from the model's.
    """
    kind = format_named(to)
    check_path(path, to)
    own = copy.deepcopy(model).cpu().float().eval()
    facts = replace(facts, outputs=output_names(own, facts))
    plain = with_file_signature(own, facts)
    draft = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        draft.mkdir()
        target = draft / path.name
        program = capture(plain, facts)
        if to == "torch":
            write_program(program, facts, target)
        else:
            onnx_file = target.with_suffix(".onnx")
            write_onnx(program, facts, onnx_file)
            if to == "openvino":
                write_openvino(onnx_file, facts, target)
                _remove(onnx_file)
        opened = ProgramModel(target) if to == "torch" else open_engine(target, kind.engine)
        difference = verify(opened, plain, facts, str(path))
        files = _move_out(draft, path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    size = sum(file.stat().st_size for file in files)
    return Exported(path=path, files=files, bytes=size, difference=difference, facts=facts)


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


def _remove(onnx_file: Path) -> None:
    """Remove an intermediate ONNX file, with its weights if they are in a file of their own."""
    for file in onnx_file.parent.glob(f"{onnx_file.name}*"):
        file.unlink()


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
