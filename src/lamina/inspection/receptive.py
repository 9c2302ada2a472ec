"""Exact receptive fields: which input pixels each position of a tensor depends on, followed through a forward pass.

A position p along a spatial axis depends on the pixels p * jump + low ... p * jump + high (Dumoulin and Visin 2016,
arXiv 1603.07285). A window of kernel k, stride s, padding q and dilation d turns that into

    low -> low - q * jump,   high -> high + (d * (k - 1) - q) * jump,   jump -> jump * s,

and where branches meet, the hull of both is kept. Fields are not clipped at the borders: one may exceed the image.

Every dimension of a tensor is the row-major product of factors (a view that flattens H and W keeps both). A factor
follows one axis of the input, or none: channels, or an axis that every position sees as a whole. An operation without a
rule here loses all axes, so a field is either exact or not given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from lamina.torch_internals import operator_packet, operator_schema


@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """The receptive field of a layer's output: one number per spatial axis."""

    size: tuple[int, ...]
    """size in pixels"""
    jump: tuple[int, ...]
    """distance in pixels between the fields of neighbouring positions"""
    start: tuple[int, ...]
    """first pixel of the first position's field; negative in the padding"""


@dataclass(frozen=True)
class Factor:
    """A factor of a dimension: its size, the input axis that it follows (None: none), and the pixels that it sees."""

    size: int
    axis: int | None = None
    jump: int = 1
    low: int = 0
    high: int = 0


Layout = tuple[tuple[Factor, ...], ...]
"""The factors of each dimension of a tensor."""
Layouts = list[Layout | None]
Known = Callable[[Tensor], Layout | None]
"""The layout of a tensor that depends on the input; None for a constant."""
Call = dict[str, Any]
"""An operator's arguments by their names in its schema."""


def input_layout(shape: Sequence[int]) -> Layout:
    """The layout of an input (B, C, *spatial): position p of each spatial axis sees pixel p."""
    return tuple((Factor(size, axis=dim - 2 if dim > 1 else None),) for dim, size in enumerate(shape))


def field_of(layout: Layout | None, axes: int) -> ReceptiveField | None:
    """The receptive field of a layout; None where any of the input's ``axes`` is seen as a whole."""
    found = {factor.axis: factor for dim in layout or () for factor in dim if factor.axis is not None}
    if not axes or len(found) < axes:
        return None
    factors = [found[axis] for axis in range(axes)]
    return ReceptiveField(
        size=tuple(factor.high - factor.low + 1 for factor in factors),
        jump=tuple(factor.jump for factor in factors),
        start=tuple(factor.low for factor in factors),
    )


def follow(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Tensor], known: Known) -> Layouts:
    """The layouts of an ATen operator's outputs, from those of its inputs."""
    name = operator_packet(func).__name__.removesuffix("_")
    call = _bind(func, args, kwargs)
    tensors = [item for value in call.values() for item in (value if isinstance(value, list) else [value])]
    tracked = [layout for layout in (known(item) for item in tensors if isinstance(item, Tensor)) if layout is not None]
    if not tracked or name in _CONSTANTS:
        return [None] * len(outs)
    if name in _RULES:
        return _RULES[name](call, outs, known)
    if torch.Tag.pointwise in func.tags or name in _POINTWISE:
        return [_merge(tracked, out) for out in outs]
    return [plain(out) for out in outs]


_CONSTANTS = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
_POINTWISE = {
    "hardswish",
    "_prelu_kernel",
    "copy",
    "clone",
    "detach",
    "alias",
    "_to_copy",
    "native_dropout",
    "channel_shuffle",
}


def _bind(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """The arguments by their names in the operator's schema, defaults included."""
    call = {}
    for place, argument in enumerate(operator_schema(func).arguments):
        default = argument.default_value if argument.has_default_value() else None
        call[argument.name] = args[place] if place < len(args) else kwargs.get(argument.name, default)
    return call


def _layout(call: Call, known: Known) -> Layout:
    """The layout of ``self``, the operator's only tensor."""
    return known(call["self"]) or plain(call["self"])


def plain(tensor: Tensor) -> Layout:
    """The layout of a tensor that sees every axis of the input as a whole."""
    return tuple((Factor(size),) for size in tensor.shape)


def _merge(layouts: Sequence[Layout], out: Tensor) -> Layout:
    """Elementwise operators: dimensions align from the last, and an axis is kept where all operands agree on it."""
    dims = []
    for place in range(-out.ndim, 0):
        parts = [layout[place] if -place <= len(layout) else () for layout in layouts]
        dims.append(_hull(parts, out.shape[place]))
    return tuple(dims)


def _hull(parts: Sequence[tuple[Factor, ...]], size: int) -> tuple[Factor, ...]:
    """A dimension that sees what any of the ``parts`` sees."""
    alike = {tuple((factor.size, factor.axis, factor.jump) for factor in part) for part in parts}
    if len(alike) > 1 or prod(factor.size for factor in parts[0]) != size:
        return (Factor(size),)
    return tuple(
        replace(same[0], low=min(factor.low for factor in same), high=max(factor.high for factor in same))
        for same in zip(*parts, strict=True)
    )


def _slid(
    dim: tuple[Factor, ...], size: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[Factor, ...]:
    """A dimension after a sliding window."""
    if len(dim) != 1 or dim[0].axis is None:
        return (Factor(size),)
    factor = dim[0]
    low = factor.low - padding * factor.jump
    high = factor.high + (dilation * (kernel - 1) - padding) * factor.jump
    return (Factor(size, factor.axis, factor.jump * stride, low, high),)


def _window(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Convolution and pooling: the window slides over the last dimensions; a convolution mixes the channels."""
    weight = call.get("weight")  # a convolution's input is "input", a pooling's "self"
    layout = known(call["self"] if weight is None else call["input"])
    if layout is None or call.get("transposed") or (weight is not None and known(weight) is not None):
        return [plain(out) for out in outs]
    kernel = call["kernel_size"] if weight is None else weight.shape[2:]
    stride, padding, dilation = call["stride"] or kernel, call["padding"], call.get("dilation", [1])
    axes = len(kernel)
    windows = zip(*(list(value) * (axes // len(value)) for value in (kernel, stride, padding, dilation)), strict=True)
    sizes = outs[0].shape[-axes:]
    slid = [_slid(dim, size, *window) for dim, size, window in zip(layout[-axes:], sizes, windows, strict=True)]
    front = layout[:-axes] if weight is None else (layout[0], (Factor(outs[0].shape[1]),))
    return [(*front, *slid) for _ in outs]


def _adaptive(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Adaptive pooling: plain pooling where the sizes divide, else its windows differ from position to position."""
    dims = list(_layout(call, known))
    for place in range(-len(call["output_size"]), 0):
        before, after = call["self"].shape[place], outs[0].shape[place]
        step = before // after
        divides = step * after == before and after > 1  # one position for all: the axis is seen as a whole
        dims[place] = _slid(dims[place], after, step, step, 0, 1) if divides else (Factor(after),)
    return [tuple(dims) for _ in outs]


def _pad(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Padding shifts positions; the padding itself is constant, or a copy of near pixels."""
    dims = list(_layout(call, known))
    for place, before in enumerate((call.get("pad") or call["padding"])[::2], start=1):
        dims[-place] = _slid(dims[-place], outs[0].shape[-place], 1, 1, before, 1)
    return [tuple(dims)]


def _slice(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    dims, dim = list(_layout(call, known)), call["dim"]
    size = call["self"].shape[dim]
    start, _, step = slice(call["start"], call["end"], call["step"]).indices(size)
    if outs[0].shape[dim] != size:
        dims[dim] = _slid(dims[dim], outs[0].shape[dim], 1, step, -start, 1)
    return [tuple(dims)]


def _split(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    layout, dim, start = _layout(call, known), call["dim"] % call["self"].ndim, 0
    layouts: Layouts = []
    for out in outs:
        part = _slid(layout[dim], out.shape[dim], 1, 1, -start, 1)
        layouts.append((*layout[:dim], part, *layout[dim + 1 :]))
        start += out.shape[dim]
    return layouts


def _drop(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """select and unbind: one index of a dimension, which disappears."""
    layout, dim = _layout(call, known), call["dim"] % call["self"].ndim
    return [(*layout[:dim], *layout[dim + 1 :]) for _ in outs]


def _join(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """cat: the hull of all inputs; the concatenated dimension loses its axis."""
    out, dim = outs[0], call["dim"] % outs[0].ndim
    layouts = [layout for layout in map(known, call["tensors"]) if layout is not None]
    if any(len(layout) != out.ndim for layout in layouts):
        return [plain(out)]
    parts = [[layout[place] for layout in layouts] for place in range(out.ndim)]
    return [tuple((Factor(size),) if i == dim else _hull(parts[i], size) for i, size in enumerate(out.shape))]


def _view(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Views regroup the factors into the new dimensions; a factor that is split loses its axis."""
    layout, out = _layout(call, known), outs[0]
    if call["self"].shape == out.shape:
        return [layout]
    factors = [factor for dim in layout for factor in dim if factor.size != 1]
    dims = []
    for size in out.shape:
        dim, left = [], size
        while left > 1:
            factor = factors.pop(0)
            if left % factor.size == 0:
                dim.append(factor)
                left //= factor.size
            elif factor.size % left == 0:
                dim.append(Factor(left))
                factors.insert(0, Factor(factor.size // left))
                left = 1
            else:
                return [plain(out)]
        dims.append(tuple(dim) or (Factor(size),))
    return [tuple(dims)]


def _permute(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    layout = _layout(call, known)
    order = list(range(len(layout)))
    if "dims" in call:
        order = list(call["dims"])
    else:  # transpose(dim0, dim1), or t
        first, second = call.get("dim0", 0), call.get("dim1", -1)
        order[first], order[second] = order[second], order[first]
    return [tuple(layout[dim] for dim in order)]


def _squeeze(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    layout = _layout(call, known)
    given = call.get("dim", range(len(layout)))
    dims = {dim % len(layout) for dim in ([given] if isinstance(given, int) else given)}
    return [tuple(part for dim, part in enumerate(layout) if dim not in dims or call["self"].shape[dim] != 1)]


def _unsqueeze(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    layout, dim = _layout(call, known), call["dim"] % outs[0].ndim
    return [(*layout[:dim], (Factor(1),), *layout[dim:])]


def _expand(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    return [_merge([_layout(call, known)], outs[0])]


def _reduce(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Sums, means, extremes, softmax: the dimensions reduced are seen as a whole."""
    layout = _layout(call, known)
    given = call.get("dim")
    over = range(len(layout)) if given is None or given == [] else [given] if isinstance(given, int) else given
    dims = {dim % len(layout) for dim in over}
    if len(outs[0].shape) == len(layout):
        return [tuple((Factor(outs[0].shape[i]),) if i in dims else part for i, part in enumerate(layout))] * len(outs)
    return [tuple(part for i, part in enumerate(layout) if i not in dims)] * len(outs)


def _layer_norm(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    layout = known(call["input"]) or plain(outs[0])
    kept = outs[0].ndim - len(call["normalized_shape"])
    normed = (*layout[:kept], *plain(outs[0])[kept:])
    return [normed, *(plain(out) for out in outs[1:])]


def _batch_norm(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """With running statistics every position is scaled on its own."""
    layout = known(call["input"])
    own = plain(outs[0]) if layout is None or call.get("training", False) else layout
    return [own, *(plain(out) for out in outs[1:])]


def _product(call: Call, outs: Sequence[Tensor], known: Known) -> Layouts:
    """Matrix products: the summed dimension is lost; if both operands depend on the input, all axes are."""
    operands = [value for value in call.values() if isinstance(value, Tensor)]
    *bias, left, right = [known(operand) for operand in operands]
    if any(layout is not None for layout in bias) or (left is None) == (right is None):
        return [plain(outs[0])]
    rows, columns = outs[0].shape[-2:]
    if left is not None:
        return [(*left[:-1], (Factor(columns),))]
    assert right is not None
    return [(*right[:-2], (Factor(rows),), right[-1])]


_RULES: dict[str, Callable[[Call, Sequence[Tensor], Known], Layouts]] = {
    "convolution": _window,
    **dict.fromkeys(
        ("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"), _window
    ),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"), _adaptive
    ),
    **dict.fromkeys(("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d"), _pad),
    **dict.fromkeys(("replication_pad1d", "replication_pad2d", "replication_pad3d"), _pad),
    "slice": _slice,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), _split),
    **dict.fromkeys(("select", "unbind"), _drop),
    "cat": _join,
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias"), _view),
    **dict.fromkeys(("permute", "transpose", "t"), _permute),
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "expand": _expand,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "logsumexp"), _reduce),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax", "linalg_vector_norm", "cumsum"), _reduce),
    "native_layer_norm": _layer_norm,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _product),
}
