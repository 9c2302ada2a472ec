"""torch.export: a model's graph with dynamic batch and time dimensions, from which every other format is converted."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lamina.errors import ExportError
from lamina.export.facts import ExportFacts
from lamina.export.inputs import TRACED, dimensions, example_of

FACTS = "lamina.json"
"""the extra file with the metadata"""


def capture(model: nn.Module, facts: ExportFacts, sizes: tuple[int, ...] = TRACED) -> ExportedProgram:
    """The graph of a model (in evaluation mode, float32, on the CPU) for a batch of any size and sequences of any
    length, traced with an example of ``sizes`` (``example_of``).

    Raises ExportError for a model that torch cannot capture.
    """
    example = example_of(facts, sizes, torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, example, dynamic_shapes=dimensions(facts, model))
    except Exception as error:  # the capture runs the model's code, which may raise anything
        raise ExportError(f"{facts.model} cannot be exported: {_first_line(error)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # no source paths of this machine in the file
    if facts.stateful:
        _write_out_attention(program)
    _make_attention_contiguous(program)
    return program


def _write_out_attention(program: ExportedProgram) -> None:
    """Attention of one step in plain operations, over cached and new keys side by side.

    Left to the exporter they would be joined to one tensor, and all of it scaled: three copies of the cache at every
    step, which take as long as reading the weights.
    """
    graph, aten = program.graph_module.graph, torch.ops.aten

    def emit(operation: Any, *args: Any) -> Any:
        node = graph.call_function(operation, args)
        values = torch.fx.node.map_arg(args, lambda one: one.meta["val"])
        node.meta = {"val": operation(*values)}
        return node

    for node in list(graph.nodes):
        if node.target is not aten.scaled_dot_product_attention.default:
            continue
        q, k, v, *mask = node.args
        keys, values = _joined(k), _joined(v)
        with graph.inserting_before(node):
            q = emit(aten.mul.Scalar, q, q.meta["val"].shape[-1] ** -0.5)
            scores = [emit(aten.matmul.default, q, emit(aten.transpose.int, part, -2, -1)) for part in keys]
            joined = scores[0] if len(keys) == 1 else emit(aten.cat.default, scores, -1)
            for visible in mask:
                joined = emit(aten.masked_fill.Scalar, joined, emit(aten.logical_not.default, visible), float("-inf"))
            weights = emit(aten.softmax.int, joined, -1)
            if len(keys) == 1:
                found = emit(aten.matmul.default, weights, v)
            else:
                cached = emit(aten.sym_size.int, keys[0], 2)
                past = emit(aten.matmul.default, emit(aten.slice.Tensor, weights, -1, 0, cached), values[0])
                new = emit(aten.matmul.default, emit(aten.slice.Tensor, weights, -1, cached), values[1])
                found = emit(aten.add.Tensor, past, new)
        node.replace_all_uses_with(found)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _joined(node: Any) -> tuple[Any, ...]:
    """The two tensors that a node joins, a cache and what is new; or itself."""
    if node.target is not torch.ops.aten.cat.default or len(node.args[0]) != 2:
        return (node,)
    return tuple(node.args[0])


def _make_attention_contiguous(program: ExportedProgram) -> None:
    """Make the output of every attention contiguous.

    Kernels differ in the memory layout of their output: a reshape that was captured as a view of one is not a view of
    the decomposed attention that the conversion to ONNX uses.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.scaled_dot_product_attention.default:
            with graph.inserting_after(node):
                fixed = graph.call_function(torch.ops.aten.contiguous.default, (node,))
            fixed.meta = {**node.meta, "val": node.meta["val"].contiguous()}
            node.replace_all_uses_with(fixed, delete_user_cb=lambda user, fixed=fixed: user is not fixed)
    program.graph_module.recompile()


def write_program(program: ExportedProgram, facts: ExportFacts, path: Path) -> None:
    """Write a ``.pt2`` file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path, extra_files={FACTS: json.dumps(facts.to_strings())})


class ProgramModel:
    """A ``.pt2`` file that was just written: a callable of its positional inputs that returns the logits.

    Not for files from elsewhere: opening a torch.export program can run arbitrary code.
    """

    def __init__(self, path: Path) -> None:
        extra = {FACTS: ""}
        self._module = torch.export.load(path, extra_files=extra).module()
        self.facts = ExportFacts.from_strings(json.loads(extra[FACTS]), path)

    def __call__(self, *given: Tensor) -> Any:
        with torch.no_grad():
            return self._module(*given)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
