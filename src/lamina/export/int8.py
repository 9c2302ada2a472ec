"""Post-training quantisation by onnxruntime (ONNX) and NNCF (OpenVINO): one file to another, some layers left in float.

Both start from the ONNX file of the float model; a layer is a node of it with weights, named as they are.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamina.errors import ExportError
from lamina.export.facts import ExportFacts
from lamina.export.onnx import save_onnx
from lamina.export.openvino import openvino_core, save_openvino

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""operators of ONNX that have weights to quantise"""
CACHE = "calibration_cache_path"
"""an option of newer versions of onnxruntime: ranges that are measured once"""

Arrays = Mapping[str, Any]
"""inputs by name, as numpy arrays"""


def layers_of(onnx_file: Path) -> dict[str, str]:
    """The layers that can be quantised, in order: the node's name, and what its weights are called."""
    import onnx

    graph = onnx.load(str(onnx_file), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        own = [name for name in node.input if name in weights]
        if node.op_type in WEIGHTED and own:
            named = own[0].removesuffix(".weight")
            found[node.name] = named if named != own[0] else node.name
    return found


def quantise_onnx(
    onnx_file: Path,
    path: Path,
    facts: ExportFacts,
    samples: Sequence[Arrays],
    *,
    kept: Collection[str] = (),
    only: Collection[str] = (),
) -> None:
    """Write ``path``: ``onnx_file`` in int8, all layers but those ``kept``, or ``only`` these. Raises ExportError."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Any:
            return next(self.left, None)

    cached = CACHE in inspect.signature(quantize_static).parameters
    more: dict[str, Any] = {CACHE: path.parent.with_name("ranges.json")} if cached else {}
    try:
        with _quiet():
            quantize_static(
                str(onnx_file),
                str(path),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=list(only),
                nodes_to_exclude=list(kept),
                **more,
            )
    except Exception as error:  # every step of it has its own exceptions
        raise ExportError(f"{facts.model} cannot be quantised by onnxruntime: {_one_line(error)}") from error
    restate(path, facts)


def quantise_openvino(
    onnx_file: Path, path: Path, facts: ExportFacts, samples: Sequence[Arrays], *, kept: Collection[str] = ()
) -> None:
    """Write ``path`` and its ``.bin``: ``onnx_file`` in int8, all layers but those ``kept``. Raises ExportError."""
    os.environ.setdefault("NNCF_CI", "1")  # before its first import: else it sends usage statistics
    with _quiet():
        import nncf

        model = openvino_core().read_model(onnx_file)
        names = [op.get_friendly_name() for op in model.get_ops()]
        ignored = [name for name in names if name.partition("/")[0] in kept]
        attends = any(op.get_type_name() in ("Softmax", "ScaledDotProductAttention") for op in model.get_ops())
        try:
            found = nncf.quantize(
                model,
                nncf.Dataset([dict(sample) for sample in samples]),
                subset_size=len(samples),
                model_type=nncf.ModelType.TRANSFORMER if attends else None,
                ignored_scope=nncf.IgnoredScope(names=ignored) if ignored else None,
            )
        except Exception as error:  # as above
            raise ExportError(f"{facts.model} cannot be quantised by NNCF: {_one_line(error)}") from error
    save_openvino(found, facts, path)


def restate(path: Path, facts: ExportFacts) -> None:
    """Give a file other facts."""
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load(str(path))
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, facts.to_strings())
        save_onnx(model, path)
        return
    weights = path.with_suffix(".bin")
    found = openvino_core().read_model(path.read_bytes(), weights.read_bytes())  # in memory: an engine may map the file
    path.unlink()
    weights.unlink()
    save_openvino(found, facts, path)


QUANTISERS = {"onnx": quantise_onnx, "openvino": quantise_openvino}
"""by format"""


def harm_of_layers(
    onnx_file: Path, facts: ExportFacts, samples: Sequence[Arrays], probes: Sequence[Arrays]
) -> list[str]:
    """The layers, the one first that alone in int8 changes the outputs for ``probes`` most."""
    expected = _outputs(onnx_file, probes)
    harm: dict[str, float] = {}
    trial = onnx_file.parent.with_name("alone") / onnx_file.name
    trial.parent.mkdir(exist_ok=True)
    for layer in layers_of(onnx_file):
        quantise_onnx(onnx_file, trial, replace(facts, precision="int8"), samples, only=[layer])
        found = _outputs(trial, probes)
        harm[layer] = sum(float(abs(a - b).mean()) for a, b in zip(found, expected, strict=True))
    return sorted(harm, key=harm.__getitem__, reverse=True)


def _outputs(path: Path, probes: Sequence[Arrays]) -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [part for probe in probes for part in session.run(None, dict(probe))]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and advice of the libraries."""
    names = ("", "nncf")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
