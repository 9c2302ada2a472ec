"""The supernet of DARTS: all operations on all edges at once, mixed by weights that are learned too.

Paper: Liu, Simonyan, Yang, "DARTS: differentiable architecture search", ICLR 2019, arXiv 1806.09055.
What was new: the choice of an operation relaxed to a softmax over all of them, so that architectures are searched by
gradient descent, in days of one GPU instead of thousands.

Two players: ``weights``, the network, and ``alphas``, the architecture. The task "architecture-search" trains them in
turn, each on its half of the training data; ``derive`` then reads off a genotype for models/darts.py.

Differences from the paper: none known; ``nodes``, ``operations`` and ``layers`` are options.

Legend: B batch, C channels, H height, W width, K classes, E edges, O operations.

Forward:

    normal_EO, reduce_EO = softmax(alphas)                    # 14 edges, 8 operations
    s0 = s1 = stem(x_BCHW)
    for cell in cells: s0, s1 = s1, cell(s0, s1, its mixture)
    return head(mean over positions of s1)

    cell: states.append(sum over earlier states i, operations o of mixture[edge, o] op_o(states[i])); 4 nodes
          the nodes side by side

Reading order: models/darts_supernet.py, layers/cells/network.py, layers/cells/supernet.py, layers/cells/operations.py,
layers/cells/genotype.py; helpers: layers/cells/strings.py, layers/heads.py, layers/image_classifier.py,
layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.cells.genotype import Genotype
from lamina.layers.cells.network import SharedNetwork, check_supernet, edges_of
from lamina.layers.cells.supernet import Alphas, derive_cell
from lamina.layers.image_classifier import check_options

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""the paper's operations, in its order"""


@dataclass(frozen=True, kw_only=True)
class DartsSupernetConfig:
    """Options of the supernet."""

    num_classes: int = 10
    """outputs: classes"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 32
    """height and width that images are resized to; forward accepts any size"""
    width: int = 16
    """channels C of a node in the first cells"""
    layers: int = 8
    """cells, the reductions at a third and two thirds among them"""
    nodes: int = 4
    """nodes of a cell, besides its two inputs"""
    operations: tuple[str, ...] = PRIMITIVES
    """operations to choose from"""
    stem_multiplier: int = 3
    """channels of the stem over C"""

    def __post_init__(self) -> None:
        check_options(self)
        check_supernet(self)


class DartsSupernet(nn.Module):
    """Images (B, C, H, W) -> logits (B, K), by ``weights`` mixed as ``alphas`` say.

    >>> model = lamina.create_model("darts-supernet", width=4, layers=3)
    >>> model(torch.zeros(2, 3, 16, 16)).shape, len(model.derive().normal.nodes)
    (torch.Size([2, 10]), 4)
    """

    derived = "darts-v2"
    """the variant that a genotype is an option of"""

    def __init__(self, config: DartsSupernetConfig) -> None:
        super().__init__()
        self.config = config
        self.weights = SharedNetwork(
            nodes=config.nodes,
            operations=config.operations,
            width=config.width,
            layers=config.layers,
            in_channels=config.in_channels,
            num_classes=config.num_classes,
            stem_multiplier=config.stem_multiplier,
        )
        self.alphas = Alphas(("normal", "reduce"), len(edges_of(config.nodes)), len(config.operations))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.weights(x_BCHW, self.alphas())
        return logits_BK

    def derive(self) -> Genotype:
        """The genotype that the alphas stand for."""
        normal_EO, reduce_EO = self.alphas()
        operations = self.config.operations
        return Genotype(
            normal=derive_cell(normal_EO, operations, "normal"), reduce=derive_cell(reduce_EO, operations, "reduce")
        )

    def derived_options(self) -> dict[str, Any]:
        """The options of the variant ``derived`` that was found."""
        return {"genotype": str(self.derive())}


VARIANTS = {
    "darts-supernet": Variant(
        build=DartsSupernet,
        config=DartsSupernetConfig(),
        small={"image_size": 16, "width": 4, "layers": 3, "nodes": 2},
        players={"weights": None},
        card=Card(
            title="DARTS, the supernet",
            summary="8 cells of 14 edges, each a weighted sum of 8 operations; searched by gradient descent.",
            paper="DARTS: differentiable architecture search",
            authors="Liu, Simonyan, Yang",
            year=2019,
            arxiv="1806.09055",
            inputs=("image",),
            tasks=("architecture-search",),
            input={"weights": (3, 32, 32)},
            parameters={"weights": 1_930_618, "alphas": 224},
            macs={"weights": 300_255_744},
            reference="plain functions over the weights, written in the test",
            recipe="darts-supernet",
        ),
    )
}
