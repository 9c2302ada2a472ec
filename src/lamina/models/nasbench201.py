"""NAS-Bench-201: the networks of a benchmark of architecture search, one for each of 15,625 cells.

Paper: Dong, Yang, "NAS-Bench-201: extending the scope of reproducible neural architecture search", ICLR 2020, arXiv
2001.00326; NATS-Bench: arXiv 2009.00437.
What was new: a space small enough to train every network of it, so that searches are compared on a table.

Differences from the paper: a cell whose output is cut off from its input is refused; cells of other numbers of nodes,
other widths and depths can be built.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                          # 3x3 convolution to 16 channels, BN
    for stage in stages:                           # 16, 32, 64 channels
        x_BCHW = stage.reduction(x_BCHW)           # from the second stage on: a basic residual block of stride 2
        for cell in stage.cells:                   # 5 of them, all alike
            states = [x_BCHW]
            for node in 1, 2, 3: states.append(sum of op(states[i]) over i < node)
            x_BCHW = states[-1]
    return head(dropout(mean over positions of relu(BN(x_BCHW))))

Reading order: models/nasbench201.py, layers/cells/nasbench.py, layers/cells/operations.py, layers/image_classifier.py;
helpers: layers/cells/strings.py, layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.cells.nasbench import EDGE_OPERATIONS, edges, format_architecture, is_cut_off, parse_architecture
from lamina.layers.cells.operations import operation, relu_conv_norm
from lamina.layers.image_classifier import ImageClassifier, check_options, global_average_pool

Edge = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
assert get_args(Edge) == EDGE_OPERATIONS
USUAL = "nor_conv_3x3"


@dataclass(frozen=True, kw_only=True)
class NASBench201Config:
    """Options of the networks of NAS-Bench-201.

    >>> config = NASBench201Config(edge_01="none", edge_03="skip_connect")
    >>> config.string
    '|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    """

    num_classes: int = 10
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 32
    """height and width that images are resized to; forward accepts any size"""
    edge_01: Edge | None = None
    """operation from node 0, the input, to node 1; none of the six given: nor_conv_3x3"""
    edge_02: Edge | None = None
    """operation from node 0 to node 2"""
    edge_12: Edge | None = None
    """operation from node 1 to node 2"""
    edge_03: Edge | None = None
    """operation from node 0 to node 3, the output"""
    edge_13: Edge | None = None
    """operation from node 1 to node 3"""
    edge_23: Edge | None = None
    """operation from node 2 to node 3"""
    architecture: str | None = None
    """the cell as a string in place of its edges, |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"""
    nodes: int = 4
    """nodes of the cell, its input and its output among them"""
    cells: int = 5
    """cells of a stage"""
    widths: tuple[int, ...] = (16, 32, 64)
    """channels of each stage"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("image_size", "cells"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must be at least 1 and at least one, got {self.widths}")
        if self.nodes < 2:
            raise ValueError(f"a cell has at least 2 nodes, its input and its output, got {self.nodes}")
        given = [name for name in EDGES if getattr(self, name) is not None]
        if self.architecture is not None and given:
            raise ValueError(f"give the cell as architecture, or its edges, not both: {given[0]}")
        beyond = [name for name in given if name not in self._edges()]
        if beyond:
            raise ValueError(f"a cell of {self.nodes} nodes has no {beyond[0]}")
        if is_cut_off(self.operations):
            raise ValueError(f"architecture '{self.string}': its output is cut off from its input")

    def _edges(self) -> list[str]:
        return [f"edge_{source}{node}" for source, node in edges(self.nodes)]

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of the edges, in the order of the string."""
        if self.architecture is not None:
            return parse_architecture(self.architecture, self.nodes)
        return tuple(getattr(self, name, None) or USUAL for name in self._edges())

    @property
    def string(self) -> str:
        """The cell as a string."""
        return format_architecture(self.operations)


EDGES = tuple(f"edge_{source}{node}" for source, node in edges(4))


class NASBenchCell(nn.Module):
    """(B, C, H, W) -> the same: every node the sum of an operation on each earlier one."""

    def __init__(self, operations: tuple[str, ...], nodes: int, channels: int) -> None:
        super().__init__()
        self.edges, self.nodes = edges(nodes), nodes
        self.operations = nn.ModuleList(operation(name, channels) for name in operations)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        states = [x_BCHW]
        for node in range(1, self.nodes):
            terms = [
                one(states[source]) for one, (source, to) in zip(self.operations, self.edges, strict=True) if to == node
            ]
            states.append(sum(terms[1:], terms[0]))
        return states[-1]


class Reduction(nn.Module):
    """A basic residual block of stride 2: (B, in, H, W) -> (B, out, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, in_channels: int, out_channels: int, affine: bool = True) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            relu_conv_norm(in_channels, out_channels, 3, 2, affine),
            relu_conv_norm(out_channels, out_channels, 3, 1, affine),
        )
        self.shortcut = nn.Sequential(
            OrderedDict(
                pool=nn.AvgPool2d(2, 2, ceil_mode=True), conv=nn.Conv2d(in_channels, out_channels, 1, bias=False)
            )
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.branch(x_BCHW) + self.shortcut(x_BCHW)
        return y_BCHW


class NASBench201(ImageClassifier):
    """Images (B, C, H, W) -> logits (B, K); a stage holds the cells of one resolution.

    >>> model = lamina.create_model("nasbench201", nodes=3, edge_12="skip_connect", cells=1)
    >>> model(torch.zeros(2, 3, 32, 32)).shape, model.config.string
    (torch.Size([2, 10]), '|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|')
    """

    def __init__(self, config: NASBench201Config) -> None:
        super().__init__()
        self.config = config
        width = config.widths[0]
        self.stem = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(config.in_channels, width, 3, padding=1, bias=False), norm=nn.BatchNorm2d(width))
        )
        self.stages = nn.ModuleList()
        for number, channels in enumerate(config.widths):
            parts = OrderedDict[str, nn.Module]()
            if number:
                parts["reduction"] = Reduction(width, channels)
            width = channels
            cells = (NASBenchCell(config.operations, config.nodes, channels) for _ in range(config.cells))
            parts["cells"] = nn.Sequential(*cells)
            self.stages.append(nn.Sequential(parts))
        self.embedding = width
        self.neck = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True), *global_average_pool())
        self.dropout = nn.Dropout(config.dropout)
        self.reset_head(config.num_classes)


VARIANTS = {
    "nasbench201": Variant(
        build=NASBench201,
        config=NASBench201Config(),
        small={"image_size": 16, "cells": 1, "widths": (4, 6, 8)},
        card=Card(
            title="NAS-Bench-201",
            summary="A network of the benchmark's space: three stages of five cells, each of six chosen operations.",
            paper="NAS-Bench-201: extending the scope of reproducible neural architecture search",
            authors="Dong, Yang",
            year=2020,
            arxiv="2001.00326",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 32, 32),
            parameters=1_531_546,
            macs=220_119_680,
            reported=(
                Reported(
                    dataset="CIFAR-10",
                    metric="test accuracy %",
                    value=93.76,
                    source="the benchmark's table",
                    note="the cell of six 3x3 convolutions, 200 epochs, mean of its trainings",
                ),
            ),
            reference="plain functions over the weights, written in the test",
            differences=("a cell whose output is cut off from its input is refused",),
            recipe="nasbench201",
        ),
    )
}
