"""Checks that a model survives torch.compile, torch.export and ONNX, with a batch of any size."""

from __future__ import annotations

import importlib
import io
import warnings
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from lamina.cards import Variant
from lamina.conformance.setting import (
    NotApplicableError,
    build,
    expect_close,
    first,
    gradients,
    inputs,
    row_of,
    run,
    same,
)


def check_compile(model: str | Variant, backend: str = "aot_eager") -> None:
    """torch.compile takes the whole forward in one graph; outputs and gradients are those of the plain model."""
    row = row_of(model)
    plain, net = build(row, dtype=torch.float32), build(row, dtype=torch.float32)
    torch.compiler.reset()
    try:
        for method in dict.fromkeys(("forward", row.card.sloped)):
            whole = method == "forward"
            compiled = torch.compile(net if whole else getattr(net, method), backend=backend, fullgraph=True)
            for batch in (3, 5):  # the second size makes the batch dynamic
                x, how = inputs(row, batch, dtype=torch.float32), f"compiled with {backend}, batch {batch}"
                wanted, got = first((plain if whole else getattr(plain, method))(x)), first(compiled(x))
                expect_close(got, wanted, 1e-5, f"outputs of {method} {how}")
                if method == row.card.sloped:
                    same(gradients(net, got), gradients(plain, wanted), 1e-4, how)
    finally:
        torch.compiler.reset()


def check_export(model: str | Variant) -> None:
    """torch.export takes the forward with a dynamic batch; the exported program gives the same for other batches."""
    row = row_of(model)
    net = build(row, dtype=torch.float32)
    program = torch.export.export(net, (inputs(row, 3, dtype=torch.float32),), dynamic_shapes=_dynamic_batch())
    exported = program.module()
    for batch in (1, 2, 5):
        x = inputs(row, batch, dtype=torch.float32)
        expect_close(run(exported, x), run(net, x), 1e-5, f"outputs of the exported program, batch {batch}")


def check_onnx(model: str | Variant) -> None:
    """torch.onnx.export (its torch.export path) with a dynamic batch; ONNX Runtime gives the same outputs."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(library)
        except ImportError:
            raise NotApplicableError(f"{library} is not installed: pip install lamina[export]") from None
    row = row_of(model)
    net = build(row, dtype=torch.float32)
    session = _onnx_session(net, inputs(row, 3, dtype=torch.float32))
    for batch in (1, 2, 5):
        x = inputs(row, batch, dtype=torch.float32)
        got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        expect_close(torch.from_numpy(got), run(net, x), 1e-4, f"outputs of ONNX Runtime, batch {batch}")


def _onnx_session(net: nn.Module, x: torch.Tensor) -> Any:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # the exporter reports its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=_dynamic_batch(), verbose=False)
    if program is None:
        raise AssertionError("torch.onnx.export gives no program")
    runtime = importlib.import_module("onnxruntime")
    return runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


def _dynamic_batch() -> tuple[dict[int, torch.export.Dim]]:
    return ({0: torch.export.Dim("batch")},)
