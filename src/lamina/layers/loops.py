"""Loops over time, and what torch's compilers make of them.

Legend: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from lamina.torch_internals import forbid_donated_buffers, scan

Tensors = tuple[Tensor, ...]
Out = TypeVar("Out")


def unroll(
    step: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]],
    state: Tensors,
    inputs: Tensors,
    real_TB: Tensor | None = None,
    *,
    reverse: bool = False,
) -> tuple[Tensors, Tensors]:
    """Apply ``step(state, inputs at t) -> (state, outputs at t)`` over time, from the end with ``reverse``.

    State tensors (B, ...), inputs (T, B, ...) with T >= 1; gives the last state and the outputs stacked (T, B, ...).
    Where ``real_TB`` is False the state stays as it is and the outputs are zero. To be exported for any batch, a step
    must have no operation whose derivative needs its input's size (slices, views, sums, matrix products of more than
    two dimensions but bmm): scan would have to save a symbolic number, and ``run_decompositions`` fails on it.
    """
    count = len(inputs)

    def masked(old: Tensors, given: Tensors) -> tuple[Tensors, Tensors]:
        new, out = step(old, given[:count])
        new = tuple(a.to(b.dtype) for a, b in zip(new, old, strict=True))  # autocast: the state keeps its precision
        if real_TB is not None:
            new = tuple(torch.where(_like(given[-1], a), a, b) for a, b in zip(new, old, strict=True))
            out = tuple(torch.where(_like(given[-1], y), y, torch.zeros_like(y)) for y in out)
        return new, out

    def separate(old: Tensors, given: Tensors) -> tuple[Tensors, Tensors]:
        new, out = masked(old, given)
        # scan allows no output to share memory with another, or with what it saves (pytorch issue 195977)
        return tuple(x.clone() for x in new), tuple(y.clone() for y in out)

    given = inputs if real_TB is None else (*inputs, real_TB)
    if torch.compiler.is_compiling():
        if not torch.compiler.is_exporting():
            _keep_saved_tensors()
        end, outputs = scan(separate, tuple(tensor.clone() for tensor in state), given, reverse=reverse)
        return tuple(end), tuple(outputs)
    rows: list[Tensors] = []
    steps = range(len(inputs[0]))
    for t in reversed(steps) if reverse else steps:
        state, out = masked(state, tuple(tensor[t] for tensor in given))
        rows.append(out)
    if reverse:
        rows.reverse()
    return state, tuple(torch.stack(column) for column in zip(*rows, strict=True))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _keep_saved_tensors() -> bool:
    """Called by Dynamo while it traces a loop, before anything is compiled: what the forward saves must not be reused.

    The inductor of torch 2.13 takes tensors that a graph may reuse for others inside a loop, and writes over what the
    gradients of two loops in a row need (pytorch issue 153679, mended in pull request 193960). Off, it costs memory.
    """
    forbid_donated_buffers()
    return True


@torch.compiler.disable  # type: ignore[untyped-decorator]
def outside(function: Callable[..., Out], *given: object) -> Out:
    """``function(*given)`` as it is, between two graphs, where a model is compiled."""
    return function(*given)


def _like(real_B: Tensor, other: Tensor) -> Tensor:
    return real_B.view(-1, *(1,) * (other.ndim - 1))
