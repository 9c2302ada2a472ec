"""DenseNet: 121, 161, 169, 201 layers for ImageNet, and the networks for CIFAR.

Paper: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", CVPR 2017, arXiv 1608.06993.
What was new: inside a block every layer receives the *concatenated* maps of all layers before it, at one resolution,
and adds ``growth_rate`` (k) maps of its own: x_l = H_l([x_0, ..., x_(l-1)]). Between blocks a transition halves the
resolution.

Differences from the paper: none known. The stem of a CIFAR network has 16 channels without bottlenecks and 2k with them
(the released Lua code has 2k in both cases). DenseNet-121, -161, ... are DenseNet-BC: bottlenecks (B), compression (C).

Legend: B batch, C channels, H height, W width, D features, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                          # 7x7/2 convolution, BN, ReLU, max pooling 3x3/2; CIFAR: one 3x3
    for number, stage in enumerate(stages):        # 4 blocks; CIFAR: 3
        if number > 0:
            x_BCHW = stage.transition(x_BCHW)      # BN, ReLU, 1x1 convolution, average pooling 2x2
        maps = [x_BCHW]
        for layer in stage.block:                  # BN, ReLU, 1x1 to 4k (B only), BN, ReLU, 3x3 to k
            maps.append(layer(maps))
        x_BCHW = concatenate(maps)
    return head(neck(x_BCHW))                      # BN, ReLU, mean over positions, linear: logits (B, K)

Reading order: models/densenet.py, layers/image_classifier.py; helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool


@dataclass(frozen=True, kw_only=True)
class DenseNetConfig:
    """Options of DenseNet."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size from ``min_size`` on"""
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    """layers of each dense block"""
    growth_rate: int = 32
    """maps added by each layer, the paper's k"""
    stem_channels: int = 64
    """maps of the stem: 2k, or 16 in CIFAR networks without bottlenecks"""
    bottleneck: bool = True
    """a 1x1 convolution to 4k maps before each 3x3 (B)"""
    compression: float = 0.5
    """share of the maps kept by a transition, the paper's theta (C); 1 keeps all"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """imagenet: 7x7 stride 2 and max pooling; small: 3x3 at full resolution, as in the CIFAR networks"""
    dropout: float = 0.0
    """dropout rate after each convolution except the first; paper: 0.2 without augmentation, else 0"""
    checkpointing: bool = False
    """recompute concatenations in the backward pass instead of storing them: less memory, more time, the same
    results; ignored by torch.compile, which decides for itself"""

    def __post_init__(self) -> None:
        check_options(self)
        if min(*self.blocks, self.growth_rate, self.stem_channels, 1) < 1 or not self.blocks:
            raise ValueError(
                "every block, growth_rate and stem_channels must be at least 1, "
                f"got blocks={self.blocks}, growth_rate={self.growth_rate} and stem_channels={self.stem_channels}"
            )
        if not 0.0 < self.compression <= 1.0:
            raise ValueError(f"compression must lie in (0, 1], got {self.compression}")
        check_min_size("densenet", self.image_size, min_image_size(self))
        channels = self.stem_channels
        for layers in self.blocks[:-1]:
            channels = math.floor(self.compression * (channels + layers * self.growth_rate))
            if channels < 1:
                raise ValueError(f"compression={self.compression} leaves no maps after a transition")


def min_image_size(config: DenseNetConfig) -> int:
    """Smallest image side for which the last transition leaves at least one position."""
    pooled: int = 2 ** (len(config.blocks) - 1)
    return pooled if config.stem == "small" else 4 * pooled - 3  # the stem's two halvings round up


class DenseLayer(nn.Module):
    """H_l: a list of maps [(B, C_0, H, W), (B, k, H, W), ...] -> new maps (B, k, H, W)."""

    def __init__(self, channels: int, config: DenseNetConfig) -> None:
        super().__init__()
        k, wide = config.growth_rate, 4 * config.growth_rate
        self.checkpointing = config.checkpointing
        self.norm1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        if config.bottleneck:
            self.conv1 = nn.Conv2d(channels, wide, 1, bias=False)
            rest: list[tuple[str, nn.Module]] = [("norm2", nn.BatchNorm2d(wide)), ("act2", nn.ReLU(inplace=True))]
            rest.append(("conv2", nn.Conv2d(wide, k, 3, padding=1, bias=False)))
        else:
            self.conv1 = nn.Conv2d(channels, k, 3, padding=1, bias=False)
            rest = []
        if config.dropout:
            rest.append(("drop2" if config.bottleneck else "drop1", nn.Dropout(config.dropout)))
            if config.bottleneck:
                rest.insert(0, ("drop1", nn.Dropout(config.dropout)))
        self.rest = nn.Sequential(OrderedDict(rest))

    def forward(self, maps: list[Tensor]) -> Tensor:
        recompute = self.checkpointing and self.training and torch.is_grad_enabled()
        if recompute and not torch.compiler.is_compiling():  # the compiler decides itself what to recompute
            first_BCHW = checkpoint(self._first, *maps, use_reentrant=False, context_fn=self._contexts)
        else:
            first_BCHW = self._first(*maps)
        new_BCHW: Tensor = self.rest(first_BCHW)
        return new_BCHW

    def _first(self, *maps: Tensor) -> Tensor:
        x_BCHW = torch.cat(maps, 1) if len(maps) > 1 else maps[0]
        first_BCHW: Tensor = self.conv1(self.act1(self.norm1(x_BCHW)))
        return first_BCHW

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(self.norm1)


@contextmanager
def _frozen_statistics(norm: nn.BatchNorm2d) -> Iterator[None]:
    """During recomputation: leave the running statistics alone, they include this batch already."""
    momentum, seen = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, seen


class DenseBlock(nn.ModuleList):
    """(B, C, H, W) -> (B, C + n k, H, W): the maps of the input, followed by those of each of the n layers."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        maps = [x_BCHW]
        for layer in self:
            maps.append(layer(maps))
        return torch.cat(maps, 1)


class DenseNet(ImageClassifier):
    """Stem, dense blocks with transitions between them, mean over positions, linear layer: images (B, C, H, W) ->
    logits (B, K).

    ``features`` returns the outputs of the dense blocks, before the normalisation of the transition or the neck.
    Dropout is inside the layers; there is none before the head.

    >>> model = lamina.create_model("densenet121", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.config = config
        self.min_size = min_image_size(config)  # it depends on the number of transitions
        channels = config.stem_channels
        self.stem = nn.Sequential()
        if config.stem == "imagenet":
            self.stem.add_module("conv", nn.Conv2d(config.in_channels, channels, 7, 2, padding=3, bias=False))
            self.stem.add_module("norm", nn.BatchNorm2d(channels))
            self.stem.add_module("act", nn.ReLU(inplace=True))
            self.stem.add_module("pool", nn.MaxPool2d(3, 2, padding=1))
        else:
            self.stem.add_module("conv", nn.Conv2d(config.in_channels, channels, 3, padding=1, bias=False))
        self.stages = nn.ModuleList()
        for number, layers in enumerate(config.blocks):
            stage = nn.Sequential()
            if number > 0:
                kept = math.floor(config.compression * channels)
                stage.add_module("transition", _transition(channels, kept, config.dropout))
                channels = kept
            block = DenseBlock([DenseLayer(channels + i * config.growth_rate, config) for i in range(layers)])
            stage.add_module("block", block)
            self.stages.append(stage)
            channels += layers * config.growth_rate
        self.embedding = channels
        self.neck = nn.Sequential(
            OrderedDict(norm=nn.BatchNorm2d(channels), act=nn.ReLU(inplace=True), pool=global_average_pool())
        )
        self.dropout = nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.reset_head(config.num_classes)

    def initialise_head(self, head: nn.Module) -> None:
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]  # a linear layer


def _transition(in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    """BN, ReLU, 1x1 convolution, average pooling: (B, in, H, W) -> (B, out, H // 2, W // 2)."""
    parts = OrderedDict[str, nn.Module](norm=nn.BatchNorm2d(in_channels), act=nn.ReLU(inplace=True))
    parts["conv"] = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    if dropout:
        parts["drop"] = nn.Dropout(dropout)
    parts["pool"] = nn.AvgPool2d(2)
    return nn.Sequential(parts)


def _card(
    *,
    title: str,
    summary: str,
    input: tuple[int, int, int],
    parameters: int,
    macs: int,
    reported: tuple[Reported, ...],
    reference: str,
    differences: tuple[str, ...] = (),
) -> Card:
    return Card(
        title=title,
        summary=summary,
        paper="Densely connected convolutional networks",
        authors="Huang, Liu, van der Maaten, Weinberger",
        year=2017,
        arxiv="1608.06993",
        inputs=("image",),
        tasks=("classification", "multilabel", "regression"),
        input=input,
        parameters=parameters,
        macs=macs,
        reported=reported,
        reference=reference,
        differences=differences,
        recipe="densenet",
    )


_SMALL = {"blocks": (2, 2, 1), "growth_rate": 4, "stem_channels": 8, "image_size": 32}


def _imagenet(
    depth: int,
    blocks: tuple[int, ...],
    growth_rate: int,
    *,
    parameters: int,
    macs: int,
    accuracy: float,
    error: float,
) -> Variant:
    paper = Reported(
        dataset="ImageNet",
        metric="top-1 error %",
        value=error,
        source="the authors' repository" if depth == 161 else "the paper, table 3",
        note="validation, one crop",
    )
    ported = Reported(
        dataset="ImageNet",
        metric="top-1 accuracy %",
        value=accuracy,
        source="torchvision, weights IMAGENET1K_V1",
        note="validation, one crop",
    )
    return Variant(
        build=DenseNet,
        config=DenseNetConfig(blocks=blocks, growth_rate=growth_rate, stem_channels=2 * growth_rate),
        card=_card(
            title=f"DenseNet-{depth}",
            summary=f"{sum(blocks)} layers: each takes the maps of all before it in its block and adds {growth_rate}.",
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=(paper, ported),
            reference=f"torchvision.models.densenet{depth}",
        ),
        small=_SMALL,
    )


def _cifar(
    depth: int,
    growth_rate: int,
    *,
    bottleneck: bool,
    parameters: int,
    macs: int,
    errors: dict[str, float],
) -> Variant:
    layers = (depth - 4) // (6 if bottleneck else 3)
    kind = "DenseNet-BC" if bottleneck else "DenseNet"
    return Variant(
        build=DenseNet,
        config=DenseNetConfig(
            num_classes=10,
            image_size=32,
            blocks=(layers, layers, layers),
            growth_rate=growth_rate,
            stem_channels=2 * growth_rate if bottleneck else 16,
            bottleneck=bottleneck,
            compression=0.5 if bottleneck else 1.0,
            stem="small",
        ),
        card=_card(
            title=f"{kind} (L = {depth}, k = {growth_rate})",
            summary=f"The CIFAR network of {depth} layers in 3 dense blocks, each layer adding {growth_rate} maps.",
            input=(3, 32, 32),
            parameters=parameters,
            macs=macs,
            reported=tuple(
                Reported(
                    dataset=dataset.removesuffix("+"),
                    metric="test error %",
                    value=error,
                    source="the authors' repository" if depth != 190 else "the paper, table 2",
                    note="mirrored and shifted images" if dataset.endswith("+") else "dropout 0.2, no augmentation",
                )
                for dataset, error in errors.items()
            ),
            reference="plain functions over the weights, written in the test",
            differences=("the stem's 16 maps are the paper's (released code: 2k)",) if not bottleneck else (),
        ),
        small=_SMALL,
    )


VARIANTS = {
    "densenet121": _imagenet(
        121, (6, 12, 24, 16), 32, parameters=7_978_856, macs=2_834_161_664, accuracy=74.434, error=25.02
    ),
    "densenet161": _imagenet(
        161, (6, 12, 36, 24), 48, parameters=28_681_000, macs=7_727_907_072, accuracy=77.138, error=22.33
    ),
    "densenet169": _imagenet(
        169, (6, 12, 32, 32), 32, parameters=14_149_480, macs=3_359_843_328, accuracy=75.600, error=23.80
    ),
    "densenet201": _imagenet(
        201, (6, 12, 48, 32), 32, parameters=20_013_928, macs=4_291_365_888, accuracy=76.896, error=22.58
    ),
    "densenet40-k12": _cifar(
        40,
        12,
        bottleneck=False,
        parameters=1_019_722,
        macs=264_812_928,
        errors={"CIFAR-10": 7.00, "CIFAR-10+": 5.24, "CIFAR-100": 27.55, "CIFAR-100+": 24.42},
    ),
    "densenet-bc100-k12": _cifar(
        100,
        12,
        bottleneck=True,
        parameters=769_162,
        macs=287_929_692,
        errors={"CIFAR-10": 5.92, "CIFAR-10+": 4.51, "CIFAR-100": 24.15, "CIFAR-100+": 22.27},
    ),
    "densenet-bc190-k40": _cifar(
        190,
        40,
        bottleneck=True,
        parameters=25_624_430,
        macs=9_301_945_740,
        errors={"CIFAR-10+": 3.46, "CIFAR-100+": 17.18},
    ),
    "densenet-bc250-k24": _cifar(
        250,
        24,
        bottleneck=True,
        parameters=15_324_406,
        macs=5_418_785_724,
        errors={"CIFAR-10": 5.19, "CIFAR-10+": 3.62, "CIFAR-100": 19.64, "CIFAR-100+": 17.60},
    ),
}
