"""What supernets share: the parameters of an architecture, and the mixture without them.

Legend: E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.layers.cells.genotype import INPUTS, Cell


class Alphas(nn.Module):
    """The parameters of an architecture: a softmax over the operations of each edge, for each kind of cell.

    ``forward`` gives the mixtures, a tensor (E, O) for each kind of cell, rows of which sum to 1.

    >>> alphas = Alphas(("normal", "reduce"), edges=14, operations=8)
    >>> [tuple(mixture_EO.shape) for mixture_EO in alphas()]
    [(14, 8), (14, 8)]
    """

    def __init__(self, cells: Sequence[str], edges: int, operations: int, scale: float = 1e-3) -> None:
        super().__init__()
        self.cells = tuple(cells)
        for name in self.cells:
            self.register_parameter(name, nn.Parameter(scale * torch.randn(edges, operations)))

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(self.get_parameter(name).softmax(1) for name in self.cells)


def uniform(count: int, edges: int, operations: int, like: Tensor) -> tuple[Tensor, ...]:
    """Mixtures in which all operations count alike, for ``count`` kinds of cells."""
    return (torch.full((edges, operations), 1 / operations, dtype=like.dtype, device=like.device),) * count


def derive_cell(mixture_EO: Tensor, operations: Sequence[str], what: str) -> Cell:
    """The cell that a mixture stands for: of the edges into a node the two whose largest weight, "none" excepted, is
    largest, the strongest first; of each edge the operation of that weight. All nodes are in the output.

    >>> derive_cell(torch.tensor([[0.7, 0.3], [0.2, 0.8]]), ("none", "skip_connect"), "normal").nodes
    ((('skip_connect', 1), ('skip_connect', 0)),)
    """
    rows = mixture_EO.detach().cpu().tolist()
    usable = [number for number, name in enumerate(operations) if name != "none"]
    nodes: list[list[tuple[str, int]]] = []
    start = 0
    while start < len(rows):
        count = INPUTS + len(nodes)
        best = [max(usable, key=row.__getitem__) for row in rows[start : start + count]]
        strongest = sorted(range(count), key=lambda source: -rows[start + source][best[source]])[:2]
        nodes.append([(operations[best[source]], source) for source in strongest])
        start += count
    return Cell.checked(nodes, range(INPUTS, INPUTS + len(nodes)), what)
