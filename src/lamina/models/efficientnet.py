"""EfficientNet, B0 to B7.

Paper: Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, arXiv 1905.11946.
What was new: a searched mobile-size network (B0) of inverted residuals with squeeze-and-excitation (MBConv), and
compound scaling: depth, width and resolution grow together, by alpha^phi, beta^phi and gamma^phi (``compound_scale``).

Differences from the paper: the released B1-B7 are rounded by hand and correspond to no exact phi; the variants below
are the released ones. Convolutions pad both sides equally; TensorFlow pads a strided one at the bottom and right only,
as timm's ``tf_efficientnet`` weights need: ``padding="tensorflow"`` and ``eps=1e-3``. Batch norm's eps and momentum
are torchvision's (B0-B4 1e-5 and 0.1, B5-B7 1e-3 and 0.01; released code: 1e-3 and 0.01 for all; timm: 1e-5, so its
B5-B7 need ``eps=1e-5``). The fan-out of a depthwise convolution counts all channels at initialisation, as in
torchvision (released code: one).

A stage of ``features`` holds all blocks at one resolution; the last 1x1 convolution belongs to the neck.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 3x3/2 convolution, BN, swish
    for stage in stages:                 # 5 stages, each at one resolution
        for block in stage:              # branch: 1x1 expansion, depthwise, squeeze-and-excitation, 1x1 projection
            x_BCHW = x_BCHW + stochastic_depth(block.branch(x_BCHW))    # without the sum where the shape changes
    e_BD = neck(x_BCHW)                  # 1x1 convolution to 1280, BN, swish, mean over positions
    return head(dropout(e_BD))           # linear: logits (B, K)

Reading order: models/efficientnet.py, layers/image_classifier.py, layers/inverted_residual.py, layers/convolution.py,
layers/squeeze_excitation.py, layers/stochastic_depth.py; helpers: layers/activations.py, layers/heads.py,
layers/shapes.py.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.convolution import Padding, conv_norm, make_divisible
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.inverted_residual import (
    InvertedResidual,
    check_table,
    group_by_resolution,
    initialise,
    small_image_strides,
)
from lamina.layers.stochastic_depth import rising_rates

KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)


class CompoundScale(NamedTuple):
    """Factors for the width, depth and resolution of a network."""

    width: float
    depth: float
    resolution: float


def compound_scale(phi: float, *, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> CompoundScale:
    """Equation 3: depth alpha^phi, width beta^phi, resolution gamma^phi.

    Multiply-adds grow by about (alpha beta^2 gamma^2)^phi, for the paper's constants about 2^phi (1.92^phi).

    >>> compound_scale(1.0)
    CompoundScale(width=1.1, depth=1.2, resolution=1.15)
    """
    return CompoundScale(width=beta**phi, depth=alpha**phi, resolution=gamma**phi)


def round_filters(channels: int, width: float) -> int:
    """Channels times the width factor, rounded to a multiple of 8 and at least 0.9 of the product."""
    return make_divisible(channels * width)


def round_repeats(blocks: int, depth: float) -> int:
    """Blocks times the depth factor, rounded up."""
    return math.ceil(blocks * depth)


@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig:
    """Options of EfficientNet."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size"""
    width: float = 1.0
    """factor of all widths"""
    depth: float = 1.0
    """factor of all depths"""
    stem_width: int = 32
    """channels of the first convolution, before the factor"""
    widths: tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    """channels of the seven rows of blocks, before the factor"""
    depths: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    """blocks of each row, before the factor"""
    head_width: int = 1280
    """channels of the last 1x1 convolution, before the factor"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """small: for images of about 32 pixels; the first convolution and the second row of blocks have stride 1, so that
    the network halves the maps three times instead of five"""
    dropout: float = 0.2
    """dropout rate of the features before the output layer"""
    stochastic_depth: float = 0.2
    """probability of dropping a block in training; rises with depth, from 0 to one step below this"""
    eps: float = 1e-5
    """epsilon of batch normalisation, added to the variances"""
    momentum: float = 0.1
    """weight of the newest batch in the running statistics of batch normalisation"""
    padding: Padding = "symmetric"
    """tensorflow: padding "SAME", more below and on the right, of weights trained there (timm's tf_ models)"""

    def __post_init__(self) -> None:
        check_options(self)
        check_min_size("efficientnet", self.image_size, 1)
        check_table(self, len(STRIDES))
        if min(self.width, self.depth) <= 0.0 or min(self.stem_width, self.head_width) < 1:
            raise ValueError("width and depth must be above 0, stem_width and head_width at least 1")


class EfficientNet(ImageClassifier):
    """A convolution, MBConv blocks in five stages, a 1x1 convolution: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("efficientnet-b0", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.config = config
        small = config.stem == "small"
        unit = partial(conv_norm, act="swish", eps=config.eps, momentum=config.momentum, padding=config.padding)
        width = round_filters(config.stem_width, config.width)
        self.stem = unit(config.in_channels, width, 3, stride=1 if small else 2)
        repeats = self.repeats(config)
        rates = iter(rising_rates(config.stochastic_depth, sum(repeats), inclusive=False))
        rows: list[list[nn.Module]] = []
        strides = small_image_strides(STRIDES) if small else STRIDES
        for kernel, stride, expansion, base, count in zip(
            KERNELS, strides, EXPANSIONS, config.widths, repeats, strict=True
        ):
            rows.append([])
            for index in range(count):
                out = round_filters(base, config.width)
                block = InvertedResidual(
                    width,
                    expansion * width,
                    out,
                    kernel,
                    stride=stride if index == 0 else 1,
                    act="swish",
                    squeezed=max(1, width // 4),
                    squeeze_act="swish",
                    stochastic_depth=next(rates),
                    eps=config.eps,
                    padding=config.padding,
                    momentum=config.momentum,
                )
                rows[-1].append(block)
                width = out
        self.stages = group_by_resolution(rows, STRIDES)
        self.embedding = round_filters(config.head_width, config.width)
        self.neck = nn.Sequential(
            OrderedDict[str, nn.Module](conv=unit(width, self.embedding, 1), pool=global_average_pool())
        )
        self.dropout = nn.Dropout(config.dropout)
        self.reset_head(config.num_classes)
        initialise(self.stem)
        initialise(self.stages)
        initialise(self.neck)

    @staticmethod
    def repeats(config: EfficientNetConfig) -> list[int]:
        """Blocks of each of the seven rows."""
        return [round_repeats(blocks, config.depth) for blocks in config.depths]

    def initialise_head(self, head: nn.Module) -> None:
        """U(-1 / sqrt(K), 1 / sqrt(K)), biases 0, as in the released code."""
        if isinstance(head, nn.Linear):
            bound = 1.0 / math.sqrt(head.out_features)
            nn.init.uniform_(head.weight, -bound, bound)
            nn.init.zeros_(head.bias)


def _variant(
    number: int,
    width: float,
    depth: float,
    resolution: int,
    dropout: float,
    parameters: int,
    macs: int,
    top1: float,
    top5: float,
) -> Variant:
    """A variant; ``top1`` and ``top5`` are the paper's accuracies in %."""
    eps, momentum = (1e-5, 0.1) if number < 5 else (1e-3, 0.01)
    return Variant(
        build=EfficientNet,
        config=EfficientNetConfig(
            width=width, depth=depth, image_size=resolution, dropout=dropout, eps=eps, momentum=momentum
        ),
        card=Card(
            title=f"EfficientNet-B{number}",
            summary="A searched mobile-size network of inverted residuals with squeeze-and-excitation."
            if number == 0
            else f"EfficientNet-B0 with {width:g} times the width, {depth:g} the depth, at {resolution} pixels.",
            paper="EfficientNet: rethinking model scaling for convolutional neural networks",
            authors="Tan, Le",
            year=2019,
            arxiv="1905.11946",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, resolution, resolution),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source="the paper"),
                Reported(dataset="ImageNet-1k", metric="top-5 accuracy %", value=top5, source="the paper"),
            ),
            reference=f"torchvision.models.efficientnet_b{number}",
            differences=(
                "strided convolutions pad both sides equally (released code: bottom and right only)",
                f"batch norm's eps {eps:g} and momentum {momentum:g} are torchvision's (released code: 0.001 and 0.01)",
                "the fan-out of a depthwise convolution counts all channels at initialisation (released code: one)",
            ),
            recipe="efficientnet",
        ),
        small={
            "image_size": 64,
            "width": 1.0,
            "depth": 1.0,
            "stem_width": 8,
            "widths": (8, 8, 8, 16, 16, 24, 32),
            "depths": (1, 2, 1, 1, 1, 1, 1),
            "head_width": 64,
        },
    )


VARIANTS = {
    "efficientnet-b0": _variant(0, 1.0, 1.0, 224, 0.2, 5_288_548, 385_814_752, 77.1, 93.3),
    "efficientnet-b1": _variant(1, 1.0, 1.1, 240, 0.2, 7_794_184, 686_802_832, 79.1, 94.4),
    "efficientnet-b2": _variant(2, 1.1, 1.2, 260, 0.3, 9_109_994, 993_561_872, 80.1, 94.9),
    "efficientnet-b3": _variant(3, 1.2, 1.4, 300, 0.3, 12_233_232, 1_827_141_392, 81.6, 95.7),
    "efficientnet-b4": _variant(4, 1.4, 1.8, 380, 0.4, 19_341_616, 4_393_771_024, 82.9, 96.4),
    "efficientnet-b5": _variant(5, 1.6, 2.2, 456, 0.4, 30_389_784, 10_266_384_752, 83.6, 96.7),
    "efficientnet-b6": _variant(6, 1.8, 2.6, 528, 0.5, 43_040_704, 19_067_593_536, 84.0, 96.8),
    "efficientnet-b7": _variant(7, 2.0, 3.1, 600, 0.5, 66_347_960, 37_745_884_192, 84.3, 97.0),
}
