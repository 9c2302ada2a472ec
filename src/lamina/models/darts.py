"""DARTS: the networks that its genotypes describe; NASNet-A is one of them.

Paper: Liu, Simonyan, Yang, "DARTS: differentiable architecture search", ICLR 2019, arXiv 1806.09055; NASNet: Zoph,
Vasudevan, Shlens, Le, "Learning transferable architectures for scalable image recognition", CVPR 2018, arXiv
1707.07012.
What was new: cells found by gradient descent on a relaxation of the choice between operations
(models/darts_supernet.py), then stacked: this file.

Differences from the paper: no auxiliary head, whose loss is added in training; the probability of dropping an operation
is the same throughout training and all layers, where the released code raises it from 0. NASNet-A is its cells in this
stack: no dropping by layer, 32 channels and 20 cells, two of them reductions.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    s0 = s1 = stem(x_BCHW)                       # 3x3 to 3C, BN; of large images s1 = second_stem(s0)
    for cell in cells:                           # C doubles in the reduction cells, at 1/3 and 2/3 of the depth
        states = [ReLU-1x1-BN(s0), ReLU-1x1-BN(s1)]
        for two operations in nodes: states.append(op(states[i]) + op'(states[j]))
        s0, s1 = s1, cat(states in concat)
    return head(dropout(mean over positions of s1))

Reading order: models/darts.py, layers/cells/genotype.py, layers/cells/operations.py, layers/cells/network.py,
layers/image_classifier.py; helpers: layers/cells/strings.py, layers/heads.py, layers/shapes.py,
layers/stochastic_depth.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.cells.genotype import GENOTYPES, INPUTS, Cell, Genotype
from lamina.layers.cells.network import preprocess, reductions, stem
from lamina.layers.cells.operations import operation, relu_conv_norm
from lamina.layers.heads import stage_numbers
from lamina.layers.image_classifier import ImageClassifier, check_options, global_average_pool
from lamina.layers.shapes import expect_image
from lamina.layers.stochastic_depth import StochasticDepth


@dataclass(frozen=True, kw_only=True)
class DartsConfig:
    """Options of networks of searched cells."""

    num_classes: int = 10
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 32
    """height and width that images are resized to; forward accepts any size"""
    genotype: str = "darts-v2"
    """the cells, "normal / reduce", each "|operation~input|operation~input|+...", from states 0 and 1 on; the text that
    the released code of DARTS prints; or darts-v1, darts-v2, nasnet-a"""
    width: int = 36
    """channels C of a node in the first cells"""
    layers: int = 20
    """cells, the reductions at a third and two thirds among them"""
    stem: Literal["small", "imagenet"] = "small"
    """small: for images of about 32 pixels; imagenet: three convolutions of stride 2 before the cells"""
    stem_multiplier: int = 3
    """channels of the small stem over C"""
    stochastic_depth: float = 0.0
    """probability of dropping the output of an operation in training; skips are kept"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""

    def __post_init__(self) -> None:
        check_options(self)
        Genotype.parse(self.genotype)
        for name in ("width", "layers", "stem_multiplier", "image_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width < 2:
            raise ValueError("width must be at least 2: reductions halve it")


class SearchedCell(nn.Module):
    """(states (B, C0, H0, W0), (B, C1, H, W)) -> (B, C * len(concat), H, W), half the size if it is a reduction.

    ``reduced_before``: the first input is twice the size of the second.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: tuple[int, int],
        channels: int,
        *,
        reduction: bool,
        reduced_before: bool,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.preprocess0 = preprocess(inputs[0], channels, reduced_before)
        self.preprocess1 = preprocess(inputs[1], channels, False)
        self.operations = nn.ModuleList(
            operation(name, channels, 2 if reduction and source < INPUTS else 1) for name, source in cell.pairs
        )
        self.drop = StochasticDepth(stochastic_depth)
        self.out_channels = channels * len(cell.concat)

    def forward(self, s0_BCHW: Tensor, s1_BCHW: Tensor) -> Tensor:
        states = [self.preprocess0(s0_BCHW), self.preprocess1(s1_BCHW)]
        operations = iter(self.operations)
        for node in self.cell.nodes:
            first, second = (self._edge(next(operations), states[source]) for _, source in node)
            states.append(first + second)
        return torch.cat([states[number] for number in self.cell.concat], 1)

    def _edge(self, one: nn.Module, state_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = one(state_BCHW)
        return y_BCHW if isinstance(one, nn.Identity) else self.drop(y_BCHW)


class CellStage(nn.Module):
    """Cells of one resolution, the first a reduction except in the first stage: (s0, s1) -> the next (s0, s1)."""

    def __init__(self, cells: Sequence[nn.Module]) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)

    def forward(self, s0_BCHW: Tensor, s1_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        for cell in self.cells:
            s0_BCHW, s1_BCHW = s1_BCHW, cell(s0_BCHW, s1_BCHW)
        return s0_BCHW, s1_BCHW


class Darts(ImageClassifier):
    """Images (B, C, H, W) -> logits (B, K); a stage holds the cells of one resolution.

    >>> model = lamina.create_model("darts-v2", width=4, layers=3)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> model.genotype.normal.concat
    (2, 3, 4, 5)
    """

    def __init__(self, config: DartsConfig) -> None:
        super().__init__()
        self.config = config
        self.genotype = Genotype.parse(config.genotype)
        small = config.stem == "small"
        width = config.stem_multiplier * config.width if small else config.width
        self.stem = stem(config.in_channels, width) if small else imagenet_stem(config.in_channels, width)
        self.second_stem = nn.Identity() if small else relu_conv_norm(width, width, 3, 2)
        self.stages, self.embedding = self._stages((width, width), reduced_before=not small)
        self.neck = global_average_pool()
        self.dropout = nn.Dropout(config.dropout)
        self.reset_head(config.num_classes)

    def _stages(self, inputs: tuple[int, int], reduced_before: bool) -> tuple[nn.ModuleList, int]:
        config, channels = self.config, self.config.width
        stages: list[list[nn.Module]] = [[]]
        for number in range(config.layers):
            reduction = number in reductions(config.layers)
            if reduction:
                channels *= 2
                stages.append([])
            cell = SearchedCell(
                self.genotype.reduce if reduction else self.genotype.normal,
                inputs,
                channels,
                reduction=reduction,
                reduced_before=reduced_before,
                stochastic_depth=config.stochastic_depth,
            )
            stages[-1].append(cell)
            reduced_before = reduction
            inputs = (inputs[1], cell.out_channels)
        return nn.ModuleList(CellStage(cells) for cells in stages if cells), inputs[1]

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        requested = stage_numbers(stages, len(self.stages))
        maps = {}
        s0_BCHW = self.stem(x_BCHW)
        s1_BCHW = self.second_stem(s0_BCHW)
        for number, stage in enumerate(self.stages[: max(requested, default=-1) + 1]):
            s0_BCHW, s1_BCHW = stage(s0_BCHW, s1_BCHW)
            if number in requested:
                maps[number] = s1_BCHW
        return [maps[number] for number in requested]


def imagenet_stem(in_channels: int, width: int) -> nn.Sequential:
    """Two 3x3 convolutions of stride 2."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, width // 2, 3, 2, 1, bias=False),
            norm1=nn.BatchNorm2d(width // 2),
            act=nn.ReLU(),
            conv2=nn.Conv2d(width // 2, width, 3, 2, 1, bias=False),
            norm2=nn.BatchNorm2d(width),
        )
    )


SMALL = {"image_size": 16, "width": 4, "layers": 3}
PAPER = {
    "paper": "DARTS: differentiable architecture search",
    "authors": "Liu, Simonyan, Yang",
    "year": 2019,
    "arxiv": "1806.09055",
}


def _row(config: DartsConfig, **facts: Any) -> Variant:
    side = config.image_size
    values: dict[str, Any] = {
        **PAPER,
        "reference": "plain functions over the weights, written in the test",
        "recipe": "darts",
        "differences": ("no auxiliary head", "the same probability of dropping an operation throughout training"),
        **facts,
    }
    return Variant(
        build=Darts,
        config=config,
        small=SMALL,
        card=Card(
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(config.in_channels, side, side),
            **values,
        ),
    )


def _error(value: float, note: str) -> tuple[Reported, ...]:
    source = "the paper, table 1" if "evaluation" in note else "quark0/darts, README"
    return (Reported(dataset="CIFAR-10", metric="test error %", value=value, source=source, note=note),)


assert set(GENOTYPES) == {"darts-v1", "darts-v2", "nasnet-a"}
VARIANTS = {
    "darts-v1": _row(
        DartsConfig(genotype="darts-v1"),
        title="DARTS (first order)",
        summary="20 cells found by DARTS of first order, 36 channels, for 32 x 32 images.",
        parameters=3_169_414,
        macs=500_987_520,
        reported=_error(3.00, "mean of evaluations, +- 0.14; with auxiliary head, cutout and drop-path"),
    ),
    "darts-v2": _row(
        DartsConfig(genotype="darts-v2"),
        title="DARTS (second order)",
        summary="20 cells found by DARTS of second order, 36 channels, for 32 x 32 images.",
        parameters=3_349_342,
        macs=528_359_040,
        reported=_error(2.63, "the released network; with auxiliary head, cutout and drop-path"),
        aliases=("darts",),
    ),
    "darts-v2-imagenet": _row(
        DartsConfig(genotype="darts-v2", num_classes=1000, image_size=224, width=48, layers=14, stem="imagenet"),
        title="DARTS (second order), ImageNet",
        summary="The cells of DARTS of second order in a network for 224 x 224 images, 14 cells, 48 channels.",
        parameters=4_718_752,
        macs=529_911_552,
    ),
    "nasnet-a": _row(
        DartsConfig(genotype="nasnet-a", width=32),
        title="NASNet-A (CIFAR)",
        summary="The cells of NASNet-A, found by reinforcement learning, in 20 layers of 32 channels.",
        paper="Learning transferable architectures for scalable image recognition",
        authors="Zoph, Vasudevan, Shlens, Le",
        year=2018,
        arxiv="1707.07012",
        parameters=3_328_234,
        macs=525_786_624,
        differences=(
            "stacked as DARTS stacks cells: reductions at a third and two thirds, the first inputs the stem's",
            "no auxiliary head",
            "the same probability of dropping an operation throughout training and depth",
        ),
    ),
}
