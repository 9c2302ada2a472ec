"""The gates and cell states of recurrent layers over time.

torch's fused kernels return outputs only. Here the layers are run again step by step, on the inputs that they got in
the model's forward pass, and every gate is recorded.

Legend: B batch, T time, D input width, H hidden units, G gates times H.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.layers.loops import Tensors, unroll
from lamina.layers.recurrent import Kind, Recurrent

GATES: dict[Kind, tuple[str, ...]] = {
    "rnn": (),
    "gru": ("reset", "update", "candidate"),
    "gru-reset-before": ("reset", "update", "candidate"),
    "lstm": ("input", "forget", "output", "candidate"),
    "lstm-peephole": ("input", "forget", "output", "candidate"),
    "lstm-1997": ("input", "output", "candidate"),
}
"""The gates of each kind of layer. All but "candidate" (the new content, before it is gated) lie between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The gates and states of one recurrent layer in one direction, over time."""

    name: str
    """of the recurrent module, in the model"""
    layer: int
    backward: bool
    """whether the layer runs from the end; time steps are in the order of the input all the same"""
    gates: Mapping[str, Tensor]
    """(B, T, H) of each of ``GATES``"""
    hidden_BTH: Tensor
    """the layer's output"""
    cell_BTH: Tensor | None
    """the cell states; None for a layer other than an LSTM"""


def gate_traces(model: nn.Module, *inputs: Any, **named: Any) -> list[Trace]:
    """The traces of all recurrent layers that run in the model's forward, in order; empty for a model without any.

    ``inputs`` and ``named`` are passed to forward; all rows must have the same length. For a layer called several times
    the last call counts. The model runs in evaluation mode, without gradients. Raises UsageError for an input that the
    model does not accept.

        (trace,) = gate_traces(model, tokens_BT)  # a one-layer LSTM
        trace.gates["forget"]  # (B, T, H)
    """
    with evaluation_mode(model), torch.no_grad():
        try:
            with _recorded(model) as calls:
                model(*inputs, **named)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return [
            trace
            for name, (layer, xs, state) in calls.items()
            for trace in _traces(name, layer, torch.stack(xs, 1), state)
        ]


def _traces(name: str, recurrent: Recurrent, x_BTD: Tensor, start: Tensors) -> Iterator[Trace]:
    row = 0
    for layer in range(recurrent.num_layers):
        sides = []
        for backward in (False, True) if recurrent.bidirectional else (False,):
            suffix = f"l{layer}_reverse" if backward else f"l{layer}"
            w_ih, w_hh, b_ih, b_hh = (
                getattr(recurrent, f"{part}_{suffix}") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            step = partial(_step, recurrent.kind, w_hh, b_hh, getattr(recurrent, f"peephole_{suffix}", None))
            gates_TBG = F.linear(x_BTD.transpose(0, 1), w_ih, b_ih)
            _, outputs = unroll(step, tuple(part[:, row] for part in start), (gates_TBG,), reverse=backward)
            state_BTH = [output.transpose(0, 1) for output in outputs]
            gates = {gate: state_BTH.pop(0) for gate in GATES[recurrent.kind]}
            cell_BTH = state_BTH[1] if len(state_BTH) > 1 else None
            yield Trace(
                name=name, layer=layer, backward=backward, gates=gates, hidden_BTH=state_BTH[0], cell_BTH=cell_BTH
            )
            sides.append(state_BTH[0])
            row += 1
        x_BTD = torch.cat(sides, -1)


def _step(
    kind: Kind, w_hh: Tensor, b_hh: Tensor, peephole_3H: Tensor | None, old: Tensors, given: Tensors
) -> tuple[Tensors, Tensors]:
    """One time step: the new state, and the gates in the order of ``GATES`` followed by the new state."""
    h, x_BG = old[0], given[0]
    if kind == "rnn":
        h = torch.tanh(x_BG + F.linear(h, w_hh, b_hh))
        return (h,), (h,)
    if kind.startswith("gru"):
        (x_r, x_z, x_n), (w_r, w_z, w_n), (b_r, b_z, b_n) = x_BG.chunk(3, 1), w_hh.chunk(3), b_hh.chunk(3)
        r = torch.sigmoid(x_r + F.linear(h, w_r, b_r))
        z = torch.sigmoid(x_z + F.linear(h, w_z, b_z))
        n = torch.tanh(x_n + (r * F.linear(h, w_n, b_n) if kind == "gru" else F.linear(r * h, w_n, b_n)))
        h = (1 - z) * n + z * h
        return (h,), (r, z, n, h)
    c = old[1]
    if kind == "lstm-1997":
        i, g, o = (x_BG + F.linear(h, w_hh, b_hh)).chunk(3, 1)
        i, g, o = torch.sigmoid(i), 4 * torch.sigmoid(g) - 2, torch.sigmoid(o)
        c = c + i * g
        h = o * (2 * torch.sigmoid(c) - 1)
        return (h, c), (i, o, g, h, c)
    i, f, g, o = (x_BG + F.linear(h, w_hh, b_hh)).chunk(4, 1)
    if peephole_3H is not None:
        i, f = i + peephole_3H[0] * c, f + peephole_3H[1] * c
    i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
    c = f * c + i * g
    o = torch.sigmoid(o if peephole_3H is None else o + peephole_3H[2] * c)
    h = o * torch.tanh(c)
    return (h, c), (i, f, o, g, h, c)


_Call = tuple[Recurrent, list[Tensor], Tensors]
"""a layer, its input at each time step, its initial state"""


@contextmanager
def _recorded(model: nn.Module) -> Iterator[dict[str, _Call]]:
    """Record the inputs of each recurrent layer inside the block, whether it is called once or, in a decoder, per
    step."""
    calls: dict[str, _Call] = {}
    handles, stepped = [], []
    for name, module in model.named_modules():
        if isinstance(module, Recurrent):
            handles.append(module.register_forward_pre_hook(partial(_called, calls, name), with_kwargs=True))
            module.stepper = partial(_stepper, calls, name, module, module.stepper)  # type: ignore[method-assign]
            stepped.append(module)
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
        for module in stepped:
            del module.stepper  # the class's method is back


def _called(calls: dict[str, _Call], name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
    given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    assert isinstance(module, Recurrent)
    x_BTD: Tensor = given["x_BTD"]
    state = given.get("state")
    calls.pop(name, None)  # the last call counts, at its place in the order
    calls[name] = module, list(x_BTD.unbind(1)), tuple(module.init_state(len(x_BTD)) if state is None else state)


def _stepper(
    calls: dict[str, _Call], name: str, module: Recurrent, make: Callable[[], Callable[[Tensor, Tensors], Tensors]]
) -> Callable[[Tensor, Tensors], Tensors]:
    calls.pop(name, None)
    step = make()

    def recorded(x_BD: Tensor, state: Tensors) -> Tensors:
        calls.setdefault(name, (module, [], state))[1].append(x_BD)
        return step(x_BD, state)

    return recorded
