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


def capture(model: nn.Module, facts: ExportFacts) -> ExportedProgram:
    """The graph of a model (in evaluation mode, float32, on the CPU) for a batch of any size and sequences of any
    length.

    Raises ExportError for a model that torch cannot capture.
    """
    example = example_of(facts, TRACED, torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, example, dynamic_shapes=dimensions(facts))
    except Exception as error:  # the capture runs the model's code, which may raise anything
        raise ExportError(f"{facts.model} cannot be exported: {_first_line(error)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # no source paths of this machine in the file
    _make_attention_contiguous(program)
    return program


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
