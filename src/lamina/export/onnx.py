"""ONNX files: written with their metadata, and opened in ONNX Runtime after a check of where their weights lie."""

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
from lamina.export.facts import ExportFacts
from lamina.export.formats import require
from lamina.export.inputs import arrays, axes, joined_outputs

WHOLE_BYTES = 2**31 - 2**24
"""larger weights go to a file of their own: an ONNX file is limited to 2 GiB, including its graph"""


def write_onnx(program: ExportedProgram, facts: ExportFacts, path: Path) -> None:
    """Write ``path``, and ``<path>.data`` beside it if the weights are too large for one file.

    Raises ExportError for a program that cannot be converted to ONNX.
    """
    names = [given.name for given in facts.inputs]
    try:
        with _quiet():
            found = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=list(facts.outputs),
                dynamic_shapes=axes(facts),  # only their names: the program has the dimensions
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"{facts.model} cannot be exported to ONNX: {_reason(error)}") from error
    if found is None:
        raise ExportError(f"{facts.model} cannot be exported to ONNX: torch returned no program")
    found.model.metadata_props.update(facts.to_strings())
    size = sum(tensor.nbytes for tensor in {**program.state_dict, **program.constants}.values())
    found.save(path, external_data=size > WHOLE_BYTES)


def halve_weights(path: Path) -> None:
    """Store the weights of an ONNX file as 16-bit floats, which a cast makes float32 again when it is opened.

    Weights beyond their range stay as they are.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size and np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    save_onnx(model, path)


def save_onnx(model: Any, path: Path) -> None:
    """Write an ONNX model of onnx, its weights in ``<path>.data`` beside it where they are too large for one file."""
    import onnx

    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    onnx.save(model, str(path), save_as_external_data=size > WHOLE_BYTES, location=data.name, size_threshold=1024)


class OnnxModel:
    """An ONNX file in ONNX Runtime, on the CPU, with torch's number of threads: a callable of its inputs, by position
    or name, that returns the logits, or several tensors.

    Raises ExportError for a file that is damaged, was not exported by lamina, or keeps weights outside its folder.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.facts = ExportFacts.from_strings(read_metadata(path), path)
        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exceptions have no common base
            raise ExportError(f"{path} cannot be opened: {' '.join(str(error).split())}") from None

    def __call__(self, *given: Tensor, **named: Tensor) -> Any:
        found = self._session.run(list(self.facts.outputs), arrays(self.facts, given, named))
        return joined_outputs([torch.from_numpy(part) for part in found])


def read_metadata(path: Path) -> dict[str, str]:
    """The ``metadata_props`` of an ONNX file, after ``check_external``.

    Raises ExportError for a file that is not ONNX, and as ``check_external`` does.
    """
    require("onnx", "opening an ONNX file")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise ExportError(f"{path} is not an ONNX file: {error}") from None
    check_external(model, path)
    return {entry.key: entry.value for entry in model.metadata_props}


def check_external(model: Any, path: Path) -> None:
    """Raise ExportError for a tensor that is stored anywhere but in a regular file in the folder of the model.

    An ONNX file can name any file of the machine as the storage of a tensor and thereby expose its content.
    """
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if not entries:
            continue
        place = entries.get("location", "")
        parts = PureWindowsPath(place)  # understands both slashes, and drives
        target = folder / place
        outside = parts.is_absolute() or parts.drive or parts.root or ".." in parts.parts
        if not place or outside or target.resolve() != target:  # a symbolic link
            raise ExportError(f"{path} is refused: tensor '{tensor.name}' lies outside its folder, in '{place}'")
        if not target.is_file():
            raise ExportError(f"{path} is incomplete: the file '{place}' with tensor '{tensor.name}' is missing")


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in an ONNX message, including those of subgraphs, functions and attributes."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            yield from _tensors(part)


def _reason(error: Exception) -> str:
    """The root cause of an exporter's error, whose own message is generic advice."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    return lines[0] if lines else type(deepest).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which reports progress on stdout and missing libraries in the log."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
