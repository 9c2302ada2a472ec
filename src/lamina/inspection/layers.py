"""The layers of a model in one table: output shapes, parameters, multiply-adds and receptive fields.

The model itself is not run: a copy without weights, on torch's meta device, does one forward pass for one input.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from lamina import markup
from lamina.errors import unknown
from lamina.inspection.receptive import Layout, ReceptiveField, field_of, follow, input_layout, plain
from lamina.torch_internals import (
    TorchDispatchMode,
    base_of,
    operator_packet,
    operator_schema,
    storage_id,
    tree_leaves,
)


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer: a module without submodules, or one that has parameters or operations of its own."""

    name: str
    """path in the model, as in its state dict"""
    type: str
    """class of the module"""
    output_shape: tuple[int, ...] | None
    """for one input, without the batch dimension; of the last call; None for a layer that is never called"""
    parameters: int
    """number of trainable parameters; shared ones count where they first appear"""
    macs: int
    """multiply-adds of convolutions, linear layers and matrix products, over all calls"""
    receptive_field: tuple[int, ...] | None
    """size in pixels along each spatial axis; None where a position sees the whole input or there is no spatial axis"""


class LayerTable(list[LayerRow]):
    """The rows of a model's layers; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        return markup.table(
            ("layer", "type", "output", "parameters", "MACs", "receptive field"),
            (
                (row.name, row.type, _sides(row.output_shape), row.parameters, row.macs, _sides(row.receptive_field))
                for row in (*self, total(self))
            ),
        )


def _sides(shape: tuple[int, ...] | None) -> str | None:
    return None if shape is None else " x ".join(map(str, shape))


def layer_table(
    model: nn.Module, input_shape: Sequence[int] | Mapping[str, Tensor], *, dtype: torch.dtype | None = None
) -> LayerTable:
    """The layers in the order in which they are called, in evaluation mode.

    Args:
        model: any module; it is left untouched.
        input_shape: the shape of one input without the batch, (C, *spatial) or (F,). For a model with other inputs the
            keyword arguments of its forward, of which the first sample is used; there are no receptive fields then.
        dtype: of the input, by default that of the parameters; ``torch.int64`` for tokens.

    Raises whatever the model's forward raises for such an input: ValueError for a wrong shape.

        rows = layer_table(lamina.create_model("lenet5"), (1, 32, 32))
        sum(row.macs for row in rows)
    """
    return rows_of(trace_forward(model, input_shape, dtype), input_shape)


def rows_of(trace: ForwardTrace, input_shape: Sequence[int] | Mapping[str, Tensor]) -> LayerTable:
    """The rows of ``layer_table`` from a forward pass that was followed."""
    seen: set[int] = set()
    rows: list[tuple[int, LayerRow]] = []
    place = 0
    for name, module in trace.twin.named_modules():
        place = trace.order.get(name, place)  # a layer that is never called follows the one before it
        own = [weight for weight in module.parameters(recurse=False) if weight.requires_grad and id(weight) not in seen]
        seen.update(map(id, own))
        leaf = name in trace.order and not any(module.children()) and not isinstance(module, nn.Identity)
        if leaf or own or trace.macs[name]:
            shape, layout = trace.outputs.get(name, (None, None))
            seen_field = None if isinstance(input_shape, Mapping) else field_of(layout, len(input_shape) - 1)
            row = LayerRow(
                name=name,
                type=type(module).__name__,
                output_shape=shape,
                parameters=sum(weight.numel() for weight in own),
                macs=trace.macs[name],
                receptive_field=seen_field.size if seen_field else None,
            )
            rows.append((place, row))
    return LayerTable(row for _, row in sorted(rows, key=lambda pair: pair[0]))


def total(rows: Sequence[LayerRow]) -> LayerRow:
    """The last row of a table: parameters and multiply-adds of the whole model."""
    return LayerRow(
        name="total",
        type="",
        output_shape=None,
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        receptive_field=None,
    )


def receptive_field(
    model: nn.Module, input_shape: Sequence[int], layer: str = "", *, dtype: torch.dtype | None = None
) -> ReceptiveField | None:
    """The receptive field of ``layer``'s output, or of the model's output by default, for an input (C, *spatial).

    None where a position sees the whole input, or where an operation on the way has no rule. For a layer called several
    times the last call counts. Raises UsageError for a layer that does not exist or is not called.

        receptive_field(lamina.create_model("resnet18"), (3, 224, 224), "stages.0").size  # (43, 43)
    """
    trace = trace_forward(model, input_shape, dtype)
    if layer not in trace.outputs:
        raise unknown("layer", layer, [name for name in trace.outputs if name])
    return field_of(trace.outputs[layer][1], len(input_shape) - 1)


@dataclass(frozen=True)
class Event:
    """One step of a recorded forward pass; tensors are named by their ids."""

    what: str
    """the operator's name; "enter" and "leave" where a module is called and returns"""
    module: str
    """the innermost module that was running"""
    reads: tuple[int, ...]
    """of "leave": what the module returns"""
    writes: tuple[int, ...]
    bases: tuple[int, ...]
    """tensors that share the memory of what was written in place"""
    product: bool
    """a convolution, a matrix product, attention"""
    shape: tuple[int, ...]
    """of what was written, without the batch"""


class ForwardTrace(TorchDispatchMode):
    """Follows one forward pass of ``twin``: the output and the operations of each module; with ``record`` also which
    tensors each operation read and wrote (``events``)."""

    def __init__(self, twin: nn.Module, *, record: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.twin = twin
        self.inputs: dict[str, Tensor] = {}
        self.order: dict[str, int] = {}  # when each module was first entered
        self.outputs: dict[
            str, tuple[tuple[int, ...], Layout | None]
        ] = {}  # shape of the last output, without the batch; layout
        self.macs: Counter[str] = Counter()
        self.events: list[Event] | None = [] if record else None
        self._held: list[Tensor] = []  # while recording: an id that a later tensor took over would join two of them
        self._running: list[str] = []  # names of the modules that are running, the innermost last
        self._known: dict[int, tuple[Tensor, Layout]] = {}  # by id; holding the tensor keeps its id from being reused
        for name, module in twin.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name))
            module.register_forward_hook(partial(self._leave, name))

    def layout(self, tensor: Tensor) -> Layout | None:
        return self._known[id(tensor)][1] if id(tensor) in self._known else None

    def learn(self, tensor: Tensor, layout: Layout) -> None:
        self._known[id(tensor)] = (tensor, layout)

    def _enter(self, name: str, _module: nn.Module, _inputs: Any) -> None:
        self.order.setdefault(name, len(self.order))
        self._running.append(name)
        self._record("enter", [], [])

    def _leave(self, name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        tensors = _tensors(output)
        self._record("leave", tensors, [])
        self._running.pop()
        if tensors:
            self.outputs[name] = (tuple(tensors[0].shape[1:]), self.layout(tensors[0]))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(operator_packet(func))
        if count is not None:
            self.macs[self._running[-1]] += count(*args, **kwargs, out_val=out) // 2  # torch counts a multiply-add as 2
        outs = _tensors(out)
        self._record(
            operator_packet(func).__name__, [*_tensors(args), *_tensors(kwargs)], outs, product=count is not None
        )
        for tensor, layout in zip(outs, follow(func, args, kwargs, outs, self.layout), strict=True):
            if layout is not None:
                if operator_schema(func).is_mutable and layout != self.layout(tensor):
                    self._forget_aliases(tensor)
                self.learn(tensor, layout)
        return out

    def _record(self, what: str, reads: list[Tensor], writes: list[Tensor], *, product: bool = False) -> None:
        if self.events is None:
            return
        self._held += [*reads, *writes]
        bases = [base for base in map(base_of, writes) if base is not None] if what.endswith("_") else []
        ids = (tuple(map(id, reads)), tuple(map(id, writes)), tuple(map(id, bases)))
        shape = tuple(writes[0].shape[1:]) if writes else ()
        self.events.append(Event(what, self._running[-1], *ids, product, shape))

    def _forget_aliases(self, tensor: Tensor) -> None:
        """After an in-place write changed the layout of ``tensor``: tensors that share its memory lose their axes."""
        memory, base = storage_id(tensor), base_of(tensor)
        others = [other for other, _ in self._known.values()]
        for other in others if base is None else [*others, base]:
            if storage_id(other) == memory:
                self.learn(other, plain(other))


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def trace_forward(
    model: nn.Module,
    input_shape: Sequence[int] | Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    *,
    record: bool = False,
) -> ForwardTrace:
    """One forward pass, for one input, of a copy of ``model`` on the meta device."""
    memo: dict[int, Any] = {}
    for weight in model.parameters():
        memo[id(weight)] = nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    if dtype is None:
        dtype = next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), torch.float32)
    trace = ForwardTrace(copy.deepcopy(model, memo).eval(), record=record)
    if isinstance(input_shape, Mapping):
        trace.inputs = {name: part[:1].to("meta") for name, part in input_shape.items()}
        with torch.no_grad(), trace:
            trace.twin(**trace.inputs)
        return trace
    x = torch.empty((1, *input_shape), dtype=dtype, device="meta")
    trace.inputs = {"": x}
    trace.learn(x, input_layout(x.shape))
    with torch.no_grad(), trace:
        trace.twin(x)
    return trace
