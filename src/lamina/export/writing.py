"""From a model to a verified file: everything happens in a folder of its own, and only what is right is moved out."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lamina.errors import ExportError, UsageError
from lamina.export.facts import ExportFacts
from lamina.export.formats import FORMATS, check_engine, format_named
from lamina.export.inputs import with_file_signature
from lamina.export.onnx import OnnxModel, write_onnx
from lamina.export.openvino import OpenvinoModel, write_openvino
from lamina.export.program import ProgramModel, capture, write_program
from lamina.export.verification import verify

EngineModel = OnnxModel | OpenvinoModel | ProgramModel


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written and says what the model says."""

    path: Path
    files: tuple[Path, ...]
    """all that belong to it, ``path`` among them"""
    bytes: int
    """of all files"""
    difference: float
    """the largest over inputs in batches of 1, 2 and 5, relative to the largest output"""
    facts: ExportFacts


def write_export(model: nn.Module, facts: ExportFacts, to: str, path: Path) -> Exported:
    """Export ``model``, whose inputs ``facts`` names, to ``path``, replacing what is there; on failure that stays.

    ``to`` is "onnx", "torch" or "openvino". Raises UsageError for an unknown one, one that is not installed, and a path
    that does not fit; ExportError for a model that cannot be exported or whose export says something else.
    """
    kind = format_named(to)
    check_path(path, to)
    plain = with_file_signature(copy.deepcopy(model).cpu().float().eval(), facts)
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
    """An exported file in the engine that runs it. Raises UsageError where that is not installed, ExportError for a
    file that is damaged, was not exported by lamina, or keeps weights outside its folder."""
    check_engine(engine)
    return OnnxModel(path) if engine == "onnxruntime" else OpenvinoModel(path)


def check_path(path: Path, to: str) -> None:
    """Raises UsageError for a file name that does not end as the format's do, and for a folder that is not there."""
    suffix = FORMATS[to].suffix
    if path.suffix != suffix:
        raise UsageError(f"{path}: the name of an export to {to} must end in {suffix}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def _remove(onnx_file: Path) -> None:
    """An ONNX file on the way to another format, and its weights where they lie beside it."""
    for file in onnx_file.parent.glob(f"{onnx_file.name}*"):
        file.unlink()


def _move_out(draft: Path, path: Path) -> tuple[Path, ...]:
    """Move the files to where ``path`` is, it as the last: while it is there, what it needs is there too."""
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
