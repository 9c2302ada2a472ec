"""Checks that a model works under torch.compile, torch.export and ONNX, with dynamic batch sizes and token lengths."""

from __future__ import annotations

import importlib
import io
import warnings
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Variant
from lamina.conformance.harness import (
    Inputs,
    NotApplicableError,
    build,
    call_model,
    expect_close,
    expect_close_gradients,
    gradients,
    inputs,
    is_sequence,
    other_token_lengths,
    require,
    run,
    trained_tensor,
    variant_of,
    with_lengths,
    with_token_length,
)
from lamina.training.compiling import compiled


def check_compile(model: str | Variant, backend: str = "aot_eager") -> None:
    """torch.compile captures forward in one graph, with the outputs and gradients of eager mode."""
    row = variant_of(model)
    plain, net = build(row, dtype=torch.float32), build(row, dtype=torch.float32)
    torch.compiler.reset()
    try:
        for method in dict.fromkeys(("forward", row.card.differentiable_method)):
            whole = method == "forward"
            dynamic = None if row.example is None else True  # dynamic from the start: recurrent graphs compile slowly
            function = net if whole else getattr(net, method)
            quick = compiled(function, device="cpu", backend=backend, fullgraph=True, dynamic=dynamic)
            batches = (inputs(row, 3, dtype=torch.float32), _other_inputs(row)[-1])  # the second makes sizes dynamic
            for x in batches:
                how = f"compiled with {backend}, {_sizes(x)}"
                expected = trained_tensor(call_model(plain if whole else getattr(plain, method), x))
                got = trained_tensor(call_model(quick, x))
                expect_close(got, expected, 1e-5, f"outputs of {method} {how}")
                if method == row.card.differentiable_method:
                    expect_close_gradients(gradients(net, got), gradients(plain, expected), 1e-4, how)
    finally:
        torch.compiler.reset()


def check_export(model: str | Variant) -> None:
    """torch.export captures forward with a dynamic batch size and dynamic token lengths, rows of unequal length
    included; the exported program agrees with the model at sizes other than those it was traced with."""
    row = variant_of(model)
    net = build(row, dtype=torch.float32)
    x = with_lengths(net, inputs(row, 3, dtype=torch.float32))
    args, named = _arguments(x)
    exported = torch.export.export(net, args, named, dynamic_shapes=_dynamic(x)).module()
    for plain in _other_inputs(row):
        other = with_lengths(net, plain)
        expect_close(run(exported, other), run(net, other), 1e-5, f"outputs of the exported program, {_sizes(other)}")


def check_onnx(model: str | Variant) -> None:
    """torch.onnx.export (through torch.export) declares the same dynamic dimensions as ``check_export``, and ONNX
    Runtime agrees with the model. Raises NotApplicableError if ONNX or ONNX Runtime is not installed."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(library)
        except ImportError:
            raise NotApplicableError(f"{library} is not installed: pip install lamina[export]") from None
    row = variant_of(model)
    net = build(row, dtype=torch.float32)
    example = with_lengths(net, inputs(row, 3, dtype=torch.float32))
    session = _onnx_session(net, example)
    names = [given.name for given in session.get_inputs()]
    _expect_dynamic(session, example)
    for plain in _other_inputs(row):
        x = with_lengths(net, plain)
        feed = _by_exported_name(x) if isinstance(x, dict) else {names[0]: x}
        got = session.run(None, {name: feed[name].numpy() for name in names})[0]
        expect_close(torch.from_numpy(got), run(net, x), 1e-4, f"outputs of ONNX Runtime, {_sizes(x)}")


def _onnx_session(net: nn.Module, x: Inputs) -> Any:
    args, named = _arguments(x)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # the exporter reports its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(net, args, kwargs=named, dynamo=True, dynamic_shapes=_dynamic(x), verbose=False)
    if program is None:
        raise AssertionError("torch.onnx.export returns no program")
    runtime = importlib.import_module("onnxruntime")
    return runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


def _by_exported_name(x: dict[str, Tensor]) -> dict[str, Tensor]:
    """torch.export lower-cases the names of arguments."""
    return {name.lower(): part for name, part in x.items()}


def _expect_dynamic(session: Any, x: Inputs) -> None:
    """The file declares every dynamic dimension as such, by a name instead of a number."""
    for given in session.get_inputs():
        part = _by_exported_name(x)[given.name] if isinstance(x, dict) else x
        changing = 2 if is_sequence(part) else 1
        declared = list(given.shape)
        message = f"the file's input {given.name} has shape {declared}: {changing} dimensions should be of any size"
        require(all(isinstance(size, str) for size in declared[:changing]), message)
    declared = list(session.get_outputs()[0].shape)
    require(isinstance(declared[0], str), f"the file's output has shape {declared}: the batch should be of any size")


def _other_inputs(row: Variant) -> list[Inputs]:
    """Inputs in batches of 1, 2 and 5; tokens also with lengths other than the example's."""
    batches = [inputs(row, batch, dtype=torch.float32) for batch in (1, 2, 5)]
    lengths = other_token_lengths(row, batches[0])
    return [with_token_length(x, length) for x, length in zip(batches, lengths, strict=True)] if lengths else batches


def _sizes(x: Inputs) -> str:
    shapes = [tuple(part.shape) for part in (x.values() if isinstance(x, dict) else [x])]
    return "inputs of " + " and ".join(map(str, shapes))


def _arguments(x: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Tensor] | None]:
    return ((), x) if isinstance(x, dict) else ((x,), None)


def _dynamic(x: Inputs) -> Any:
    """The dynamic dimensions: torch.export raises an error if it would have to fix one of them."""
    batch = torch.export.Dim("batch")
    if not isinstance(x, dict):
        return ({0: batch},)
    # DYNAMIC: a length of up to the model's context
    return {
        name: {0: batch, **({1: torch.export.Dim.DYNAMIC} if is_sequence(part) else {})} for name, part in x.items()
    }
