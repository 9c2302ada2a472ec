"""OpenVINO files, an ``.xml`` with its ``.bin``: converted from ONNX, run in float32 or the precision of their facts.

They are converted from ONNX rather than from the torch graph: the models are equally fast, and OpenVINO's own converter
(``openvino.convert_model``) sends usage statistics unless that is disabled.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.errors import ExportError
from lamina.export.facts import ExportFacts
from lamina.export.inputs import arrays, joined_outputs
from lamina.export.onnx import read_metadata

HINT = "INFERENCE_PRECISION_HINT"
"""by default OpenVINO computes in bfloat16 on processors that support it: that is for files that say so"""
LOW = ("bf16", "int8")
"""precisions that compute in bfloat16 what they do not in integers"""


@cache
def openvino_core() -> Any:
    """OpenVINO's ``Core``: one for the process, never closed.

    Its CPU plugin gives the thread that loads it an alternate stack for signals, and frees it when it is closed. If two
    are not closed in the reverse order, a freed stack stays in use, and the next signal with a handler in Python (as of
    Ctrl-C, or of a DataLoader's worker that ends) ends the process with a segmentation fault (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def write_openvino(onnx_file: Path, facts: ExportFacts, path: Path) -> None:
    """Convert an ONNX file to ``path`` and the ``.bin`` beside it, with weights as they are.

    Raises ExportError for a graph that OpenVINO cannot read: it does not support a Scan whose body uses values from
    outside, which a recurrent decoder with attention has.
    """
    try:
        model = openvino_core().read_model(onnx_file)
    except RuntimeError as error:
        raise ExportError(f"{facts.model} cannot be exported to OpenVINO: {_reason(error)}") from None
    save_openvino(model, facts, path)


def save_openvino(model: Any, facts: ExportFacts, path: Path) -> None:
    """Write a model of OpenVINO with its facts."""
    import openvino

    for name, text in facts.to_strings().items():
        model.set_rt_info(text, ["lamina", name])
    openvino.save_model(model, path, compress_to_fp16=False)


def has_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenvinoModel:
    """An OpenVINO or ONNX file in OpenVINO, on the CPU, with torch's number of threads: a callable of its inputs, by
    position or name, that returns the logits.

    ``precision``: what it computes in, by default what the file's facts say. Raises ExportError for a file that is
    damaged, was not exported by lamina, or keeps weights outside its folder.
    """

    def __init__(self, path: Path, precision: str | None = None) -> None:
        texts = read_metadata(path) if path.suffix == ".onnx" else None
        core = openvino_core()
        try:
            model = core.read_model(path)
            self.facts = ExportFacts.from_strings(_rt_info(model) if texts is None else texts, path)
            low = (precision or self.facts.precision) in LOW and has_bf16()
            threads = torch.get_num_threads()
            how = {HINT: "bf16" if low else "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            self._compiled = core.compile_model(model, "CPU", how)
        except RuntimeError as error:
            raise ExportError(f"{path} cannot be opened: {_reason(error)}") from None

    def __call__(self, *given: Tensor, **named: Tensor) -> Any:
        found = self._compiled(arrays(self.facts, given, named), share_inputs=True)
        return joined_outputs([torch.from_numpy(found[name].copy()) for name in self.facts.outputs])


def _rt_info(model: Any) -> dict[str, str]:
    if not model.has_rt_info(["lamina"]):
        return {}
    return {name: str(text) for name, text in model.get_rt_info(["lamina"]).value.items()}


def _reason(error: RuntimeError) -> str:
    """The last line of the message: those before it are locations in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
