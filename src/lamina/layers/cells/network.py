"""Networks of two-input cells: what those of one genotype and the supernet share, and the supernet's weights.

Legend: B batch, C channels, H height, W width, K classes, E edges, O operations.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina.layers.cells.genotype import GENOTYPE_OPERATIONS, INPUTS
from lamina.layers.cells.operations import FactorizedReduction, MixedOperation, relu_conv_norm
from lamina.layers.cells.supernet import uniform
from lamina.layers.heads import linear_head
from lamina.layers.shapes import expect_image

Choice = Tensor | Sequence[Sequence[int]]
"""how much each operation of each edge counts, (E, O), or for each edge the numbers of those in use"""


def reductions(layers: int) -> set[int]:
    """The numbers of the reduction cells: at a third and two thirds."""
    return {layers // 3, 2 * layers // 3}


def stem(in_channels: int, width: int) -> nn.Sequential:
    """3x3 convolution, BN."""
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(in_channels, width, 3, padding=1, bias=False), norm=nn.BatchNorm2d(width))
    )


def preprocess(in_channels: int, channels: int, halve: bool, affine: bool = True) -> nn.Module:
    """An input of a cell brought to its channels and size."""
    if halve:
        return FactorizedReduction(in_channels, channels, affine)
    return relu_conv_norm(in_channels, channels, 1, affine=affine)


def edges_of(nodes: int) -> list[tuple[int, int]]:
    """The edges (from, to) of a cell: every node reads every earlier state.

    >>> edges_of(2)
    [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    """
    return [(source, state) for state in range(INPUTS, INPUTS + nodes) for source in range(state)]


def check_supernet(config: Any) -> None:
    """Raise ValueError for options of a supernet out of range."""
    for name in ("width", "layers", "nodes", "stem_multiplier", "image_size"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.width < 2:
        raise ValueError("width must be at least 2: reductions halve it")
    for name in config.operations:
        if name not in (*GENOTYPE_OPERATIONS, "none"):
            raise ValueError(f"unknown operation '{name}'; known: none, {', '.join(GENOTYPE_OPERATIONS)}")
    if len(set(config.operations)) != len(config.operations) or len({*config.operations} - {"none"}) < 1:
        raise ValueError("operations are different ones, at least one besides 'none'")


class SharedCell(nn.Module):
    """All operations on all edges: (s0, s1, choice) -> (B, C * nodes, H, W), half the size if it is a reduction."""

    def __init__(
        self,
        nodes: int,
        operations: tuple[str, ...],
        inputs: tuple[int, int],
        channels: int,
        *,
        reduction: bool,
        reduced_before: bool,
    ) -> None:
        super().__init__()
        self.reduction, self.nodes, self.edges = reduction, nodes, edges_of(nodes)
        self.preprocess0 = preprocess(inputs[0], channels, reduced_before, affine=False)
        self.preprocess1 = preprocess(inputs[1], channels, False, affine=False)
        self.mixed = nn.ModuleList(
            MixedOperation(channels, operations, 2 if reduction and source < INPUTS else 1) for source, _ in self.edges
        )

    def forward(self, s0_BCHW: Tensor, s1_BCHW: Tensor, choice: Choice) -> Tensor:
        states = [self.preprocess0(s0_BCHW), self.preprocess1(s1_BCHW)]
        for node in range(INPUTS, INPUTS + self.nodes):
            terms: list[Tensor] = []
            for edge, (source, to) in enumerate(self.edges):
                mixed = cast(MixedOperation, self.mixed[edge])
                if to == node and isinstance(choice, Tensor):
                    terms.append(mixed(states[source], choice[edge]))
                elif to == node:
                    terms += [mixed.chosen(states[source], number) for number in choice[edge]]
            states.append(sum(terms[1:], terms[0]))
        return torch.cat(states[INPUTS:], 1)


class SharedStage(nn.Module):
    """Cells of one resolution: (s0, s1, choice of normal, of reduction cells) -> the next (s0, s1)."""

    def __init__(self, cells: Sequence[SharedCell]) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)

    def forward(self, s0_BCHW: Tensor, s1_BCHW: Tensor, normal: Choice, reduce: Choice) -> tuple[Tensor, Tensor]:
        for cell in self.cells:
            s0_BCHW, s1_BCHW = s1_BCHW, cell(s0_BCHW, s1_BCHW, reduce if cell.reduction else normal)
        return s0_BCHW, s1_BCHW


class SharedNetwork(nn.Module):
    """The weights of all networks of a space of two-input cells: images (B, C, H, W), and how each edge of a normal and
    of a reduction cell chooses -> logits (B, K). Without a choice all operations count alike.

    >>> network = SharedNetwork(nodes=2, operations=("skip_connect", "sep_conv_3x3"), width=4, layers=3)
    >>> network(torch.zeros(2, 3, 16, 16), ([[0], [1], [], [0], [1]],) * 2).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        *,
        nodes: int,
        operations: tuple[str, ...],
        width: int,
        layers: int,
        in_channels: int = 3,
        num_classes: int = 10,
        stem_multiplier: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels, self.edges, self.operations = in_channels, len(edges_of(nodes)), operations
        self.stem = stem(in_channels, stem_multiplier * width)
        inputs, reduced_before, channels = (stem_multiplier * width,) * 2, False, width
        stages: list[list[SharedCell]] = [[]]
        for number in range(layers):
            reduction = number in reductions(layers)
            if reduction:
                channels *= 2
                stages.append([])
            stages[-1].append(
                SharedCell(nodes, operations, inputs, channels, reduction=reduction, reduced_before=reduced_before)
            )
            reduced_before, inputs = reduction, (inputs[1], channels * nodes)
        self.stages = nn.ModuleList(SharedStage(cells) for cells in stages if cells)
        self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = linear_head(inputs[1], num_classes)

    def forward(self, x_BCHW: Tensor, choices: Sequence[Choice] | None = None) -> Tensor:
        expect_image(x_BCHW, self.in_channels)
        normal, reduce = uniform(2, self.edges, len(self.operations), x_BCHW) if choices is None else choices
        s0_BCHW = s1_BCHW = self.stem(x_BCHW)
        for stage in self.stages:
            s0_BCHW, s1_BCHW = stage(s0_BCHW, s1_BCHW, normal, reduce)
        logits_BK: Tensor = self.head(self.neck(s1_BCHW))
        return logits_BK
