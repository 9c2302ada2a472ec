"""OpenVINO files, an ``.xml`` with its ``.bin``: made from ONNX, opened and run in float32.

By way of ONNX rather than from the torch graph: the nets come out equally fast, and OpenVINO's own converter
(``openvino.convert_model``) reports its use to its makers unless told not to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.errors import ExportError
from lamina.export.facts import OUTPUT, ExportFacts
from lamina.export.inputs import arrays
from lamina.export.onnx import read_metadata

FULL_PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}
"""without it OpenVINO calculates in bfloat16 on processors that can"""


def write_openvino(onnx_file: Path, facts: ExportFacts, path: Path) -> None:
    """Write ``path`` and the ``.bin`` beside it, weights as they are.

    Raises ExportError for a graph that OpenVINO does not read: it takes no Scan whose step sees values around it, which
    a recurrent decoder with attention has.
    """
    import openvino

    try:
        model = openvino.Core().read_model(onnx_file)
    except RuntimeError as error:
        raise ExportError(f"{facts.model} cannot be exported to OpenVINO: {_reason(error)}") from None
    for name, text in facts.to_strings().items():
        model.set_rt_info(text, ["lamina", name])
    openvino.save_model(model, path, compress_to_fp16=False)


class OpenvinoModel:
    """An OpenVINO or ONNX file in OpenVINO, on the CPU: called with its inputs by position or by name, gives the
    logits."""

    def __init__(self, path: Path) -> None:
        import openvino

        texts = read_metadata(path) if path.suffix == ".onnx" else None
        core = openvino.Core()
        try:
            model = core.read_model(path)
            self.facts = ExportFacts.from_strings(_rt_info(model) if texts is None else texts, path)
            self._compiled = core.compile_model(model, "CPU", FULL_PRECISION)
        except RuntimeError as error:
            raise ExportError(f"{path} cannot be opened: {_reason(error)}") from None

    def __call__(self, *given: Tensor, **named: Tensor) -> Tensor:
        return torch.from_numpy(self._compiled(arrays(self.facts, given, named))[OUTPUT].copy())


def _rt_info(model: Any) -> dict[str, str]:
    if not model.has_rt_info(["lamina"]):
        return {}
    return {name: str(text) for name, text in model.get_rt_info(["lamina"]).value.items()}


def _reason(error: RuntimeError) -> str:
    """The last line that says something: the ones before name the places in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
