"""ONNX files: written with their facts inside, opened by ONNX Runtime once they are known to stay in their folder."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lamina.errors import ExportError
from lamina.export.facts import OUTPUT, ExportFacts
from lamina.export.formats import require
from lamina.export.inputs import arrays, axes, inputs_of

WHOLE_BYTES = 2**31 - 2**24
"""weights above this go to a file beside: one ONNX file ends at 2 GiB, its graph included"""


def write_onnx(program: ExportedProgram, facts: ExportFacts, path: Path) -> None:
    """Write ``path``, and ``<path>.data`` beside it where the weights are too large for one file."""
    names = [given.name for given in inputs_of(facts)]
    try:
        with _quiet():
            found = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_shapes=axes(facts),  # their names: the program knows which they are
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"{facts.model} cannot be exported to ONNX: {_reason(error)}") from error
    if found is None:
        raise ExportError(f"{facts.model} cannot be exported to ONNX: torch gives no program")
    found.model.metadata_props.update(facts.to_strings())
    size = sum(tensor.nbytes for tensor in {**program.state_dict, **program.constants}.values())
    found.save(path, external_data=size > WHOLE_BYTES)


class OnnxModel:
    """An ONNX file in ONNX Runtime, on the CPU: called with its inputs by position or by name, gives the logits."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.facts = ExportFacts.from_strings(read_metadata(path), path)
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own exceptions share no base
            raise ExportError(f"{path} cannot be opened: {' '.join(str(error).split())}") from None

    def __call__(self, *given: Tensor, **named: Tensor) -> Tensor:
        (found,) = self._session.run([OUTPUT], arrays(self.facts, given, named))
        return torch.from_numpy(found)


def read_metadata(path: Path) -> dict[str, str]:
    """``metadata_props`` of a file whose tensors all stay in its folder: ``check_external`` is part of it.

    Raises ExportError for a file that is no ONNX.
    """
    require("onnx", "opening an ONNX file")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise ExportError(f"{path} is no ONNX file: {error}") from None
    check_external(model, path)
    return {entry.key: entry.value for entry in model.metadata_props}


def check_external(model: Any, path: Path) -> None:
    """Raise ExportError for a tensor kept in another place than a plain file in the folder of the model.

    An ONNX file may name any file of the machine as the home of a tensor, and hand its content on as weights.
    """
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if not entries:
            continue
        place = entries.get("location", "")
        parts = PureWindowsPath(place)  # knows both kinds of slash, and drives
        target = folder / place
        outside = parts.is_absolute() or parts.drive or parts.root or ".." in parts.parts
        if not place or outside or target.resolve() != target:  # a link leads elsewhere
            raise ExportError(f"{path} is refused: tensor '{tensor.name}' lies outside its folder, in '{place}'")
        if not target.is_file():
            raise ExportError(f"{path} is incomplete: the file '{place}' with tensor '{tensor.name}' is missing")


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message of ONNX, those of subgraphs, functions and attributes among them."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            yield from _tensors(part)


def _reason(error: Exception) -> str:
    """What lies at the bottom of the exporter's error, whose own message is advice."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    return lines[0] if lines else type(deepest).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its progress on stdout, and absent libraries in the log."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
