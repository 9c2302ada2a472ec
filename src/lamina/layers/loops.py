"""Loops over time, in eager mode and under torch's compilers.

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
    """Apply ``step(state, inputs at t) -> (state, outputs at t)`` over time, backwards in time with ``reverse``.

    State tensors are (B, ...), inputs (T, B, ...) with T >= 1; returns the last state and the outputs, stacked to
    (T, B, ...). Where ``real_TB`` is False (padding) the state is kept and the outputs are zero.

    Under torch.compile and torch.export the loop becomes a ``scan``. For a step to be exported with a dynamic batch,
    none of its operations may have a derivative that needs the size of its input (slices, views, sums, and matrix
    products of more than two dimensions except bmm): scan would save a symbolic number, on which
    ``run_decompositions`` fails.

    >>> add = lambda state, inputs: ((state[0] + inputs[0],), (state[0] + inputs[0],))
    >>> (total,), (sums,) = unroll(add, (torch.zeros(1),), (torch.tensor([[1.0], [2.0], [3.0]]),))
    >>> total, sums.flatten()
    (tensor([6.]), tensor([1., 3., 6.]))
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
    once = type(inputs[0].shape[0]) is int and inputs[0].shape[0] == 1  # a loop of one step needs no scan
    if torch.compiler.is_compiling() and not (once and torch.compiler.is_exporting()):
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


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch leaves it untyped
def _keep_saved_tensors() -> bool:
    """Called by Dynamo while it traces a loop, before anything is compiled: keep what the forward saves for backward.

    The inductor of torch 2.13 reuses donated buffers inside a loop and overwrites what the gradients of two consecutive
    loops need (pytorch issue 153679, fixed in pull request 193960). Switching donation off costs memory.
    """
    forbid_donated_buffers()
    return True


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped
def run_eagerly(function: Callable[..., Out], *given: object) -> Out:
    """``function(*given)``, run eagerly between two graphs where the model is compiled."""
    return function(*given)


def _like(real_B: Tensor, other: Tensor) -> Tensor:
    return real_B.view(-1, *(1,) * (other.ndim - 1))
