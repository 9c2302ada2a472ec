"""The cells of a searched architecture as graphs, from the text that its config has: ``|operation~input|+...``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lamina import registry
from lamina.errors import LaminaError
from lamina.layers.cells.genotype import GENOTYPES

Edge = tuple[int, int, str]
"""source, target, operation; nodes are numbered, the inputs first"""


def cells_of(model: str, options: Mapping[str, Any]) -> dict[str, list[Edge]]:
    """The edges of each cell of a model with these options, by the cell's name; empty for other models.

    Example: ``cells_of("nasbench201", {"edge_01": "none"})["cell"][0]`` is ``(0, 1, "none")``.
    """
    try:
        config = registry.configure(registry.variant(model), options)
    except LaminaError:
        return {}
    text = getattr(config, "string", None) or getattr(config, "genotype", None)
    text = getattr(text, "string", text)
    text = GENOTYPES.get(text, text) if isinstance(text, str) else text  # a published one by its name
    return parsed(text) if isinstance(text, str) and "~" in text else {}


def parsed(text: str) -> dict[str, list[Edge]]:
    """Cells of a text: nodes divided by "+", cells by "/". The first node is the one after the highest input that its
    operations name."""
    cells = text.split("/")
    names = ["cell"] if len(cells) == 1 else ["normal cell", "reduction cell", *map(str, range(3, len(cells) + 1))]
    found = {}
    for name, cell in zip(names, cells, strict=False):
        nodes = [re.findall(r"([^|~]+)~(\d+)", node) for node in cell.split("+")]
        first = _inputs(nodes)
        found[name] = [
            (int(source), first + i, operation.strip()) for i, node in enumerate(nodes) for operation, source in node
        ]
    return found


def _inputs(nodes: Sequence[Sequence[tuple[str, str]]]) -> int:
    """The number of inputs: 1 where the first node has one, else 2."""
    return max((int(source) for _, source in nodes[0]), default=0) + 1 if nodes else 1
