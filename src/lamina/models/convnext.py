"""ConvNeXt: a residual network modernised step by step until it matches a windowed transformer.

Paper: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022, arXiv 2201.03545.
What was new: no single component. Patches of 4x4 as the stem, 7x7 depthwise convolutions, an inverted bottleneck with
one activation and one layer normalisation per block, normalisation before each downsampling: together a purely
convolutional network, without attention, that matches Swin at equal cost.

Differences from the paper: none in the default. ``stem="small"`` cuts images of 28 or 32 pixels into 2x2 patches, and
``depths`` and ``widths`` may hold any number of stages.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 4x4/4 convolution, layer norm
    for stage in stages:
        x_BCHW = stage.downsample(x_BCHW)    # layer norm, 2x2/2 convolution; the identity in the first stage
        for block in stage.blocks:       # branch: depthwise 7x7, layer norm, linear to 4C, GELU, linear to C
            x_BCHW = x_BCHW + stochastic_depth(gamma * branch(x_BCHW))
    e_BD = neck(x_BCHW)                  # mean over positions, layer norm
    return head(dropout(e_BD))           # linear: logits (B, K)

Reading order: models/convnext.py, layers/image_classifier.py, layers/channel_norm.py, layers/stochastic_depth.py;
helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.channel_norm import ChannelNorm
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.stochastic_depth import StochasticDepth, rising_rates

EPS = 1e-6  # of every normalisation


@dataclass(frozen=True, kw_only=True)
class ConvNeXtConfig:
    """Options of ConvNeXt."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to, in pixels"""
    depths: tuple[int, ...] = (3, 3, 9, 3)
    """blocks of each stage"""
    widths: tuple[int, ...] = (96, 192, 384, 768)
    """channels of each stage"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """patches that an image is cut into: 4x4 pixels, or 2x2 for small images"""
    layer_scale: float = 1e-6
    """initial value of the learned factors, one per channel, that scale the branch of a block"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block in training; it rises linearly from 0 at the first block"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""

    def __post_init__(self) -> None:
        check_options(self)
        if not self.depths or len(self.depths) != len(self.widths):
            raise ValueError(f"depths and widths must have one number per stage, got {self.depths} and {self.widths}")
        if min(self.depths) < 1 or min(self.widths) < 1:
            raise ValueError(f"depths and widths must be at least 1, got {self.depths} and {self.widths}")
        if self.layer_scale <= 0.0:
            raise ValueError(f"layer_scale must be positive, got {self.layer_scale}")
        check_min_size("convnext", self.image_size, min_image_size(self))


def patch_side(config: ConvNeXtConfig) -> int:
    """Height and width of the stem's patches, in pixels."""
    return 4 if config.stem == "imagenet" else 2


def min_image_size(config: ConvNeXtConfig) -> int:
    """Smallest image side: every stage except the first halves the map, and the last needs one position."""
    return patch_side(config) << (len(config.depths) - 1)


class Block(nn.Module):
    """x + gamma * contract(GELU(expand(LN(depthwise 7x7 of x)))): (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, width: int, layer_scale: float, rate: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.expand = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.contract = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), layer_scale))
        self.stochastic_depth = StochasticDepth(rate)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BHWC = self.norm(self.conv(x_BCHW).permute(0, 2, 3, 1))  # 1x1 convolutions are faster as linear layers
        y_BHWC = self.gamma * self.contract(self.act(self.expand(y_BHWC)))
        out_BCHW: Tensor = x_BCHW + self.stochastic_depth(y_BHWC.permute(0, 3, 1, 2))
        return out_BCHW


class ConvNeXt(ImageClassifier):
    """A patch stem and stages of blocks with downsampling in between: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("convnext-tiny", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    config: ConvNeXtConfig

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        self.config = config
        depths, widths, side = config.depths, config.widths, patch_side(config)
        patches = nn.Conv2d(config.in_channels, widths[0], side, side)
        self.stem = nn.Sequential(OrderedDict(conv=patches, norm=ChannelNorm(widths[0], eps=EPS)))
        rates = iter(rising_rates(config.stochastic_depth, sum(depths), inclusive=True))
        entries = [nn.Identity(), *(downsample(before, after) for before, after in pairwise(widths))]
        self.stages = nn.ModuleList()
        for entry, depth, width in zip(entries, depths, widths, strict=True):
            blocks = nn.Sequential(*(Block(width, config.layer_scale, next(rates)) for _ in range(depth)))
            self.stages.append(nn.Sequential(OrderedDict(downsample=entry, blocks=blocks)))
        self.embedding = widths[-1]
        self.neck = nn.Sequential(OrderedDict(pool=global_average_pool(), norm=nn.LayerNorm(self.embedding, eps=EPS)))
        self.dropout = nn.Dropout(config.dropout)
        self.apply(initialise)
        self.reset_head(config.num_classes)

    @property
    def min_size(self) -> int:  # type: ignore[override]  # depends on the stem and the number of stages
        """Smallest image height and width the network can process."""
        return min_image_size(self.config)

    def initialise_head(self, head: nn.Module) -> None:
        initialise(head)


def downsample(before: int, after: int) -> nn.Sequential:
    """Layer norm and 2x2/2 convolution: (B, before, H, W) -> (B, after, H // 2, W // 2)."""
    return nn.Sequential(OrderedDict(norm=ChannelNorm(before, eps=EPS), conv=nn.Conv2d(before, after, 2, 2)))


def initialise(module: nn.Module) -> None:
    """The paper's initialisation: normal with standard deviation 0.02, truncated at +-2; biases zero."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _row(
    size: str,
    config: ConvNeXtConfig,
    *,
    parameters: int,
    macs: int,
    top1: float,
    note: str = "ImageNet-1k only, 224 pixels",
    reference: str = "torchvision",
) -> Variant:
    """A variant of the paper's table."""
    return Variant(
        build=ConvNeXt,
        config=config,
        small={"image_size": 32, "depths": (1, 2), "widths": (8, 16)},
        card=Card(
            title=f"ConvNeXt-{size}",
            summary="A residual network with the design of a transformer: depthwise 7x7 convolutions, no attention.",
            paper="A ConvNet for the 2020s",
            authors="Liu, Mao, Wu, Feichtenhofer, Darrell, Xie",
            year=2022,
            arxiv="2201.03545",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(
                    dataset="ImageNet",
                    metric="top-1 accuracy %",
                    value=top1,
                    source="facebookresearch/ConvNeXt",
                    note=note,
                ),
            ),
            reference=reference,
            recipe="convnext",
        ),
    )


_BASE_DEPTHS = (3, 3, 27, 3)

VARIANTS = {
    "convnext-tiny": _row(
        "T", ConvNeXtConfig(stochastic_depth=0.1), parameters=28_589_128, macs=4_455_531_264, top1=82.1
    ),
    "convnext-small": _row(
        "S",
        ConvNeXtConfig(depths=_BASE_DEPTHS, stochastic_depth=0.4),
        parameters=50_223_688,
        macs=8_683_712_256,
        top1=83.1,
    ),
    "convnext-base": _row(
        "B",
        ConvNeXtConfig(depths=_BASE_DEPTHS, widths=(128, 256, 512, 1024), stochastic_depth=0.5),
        parameters=88_591_464,
        macs=15_354_729_472,
        top1=83.8,
    ),
    "convnext-large": _row(
        "L",
        ConvNeXtConfig(depths=_BASE_DEPTHS, widths=(192, 384, 768, 1536), stochastic_depth=0.5),
        parameters=197_767_336,
        macs=34_361_433_600,
        top1=84.3,
    ),
    "convnext-xlarge": _row(
        "XL",
        # never trained on ImageNet-1k alone: the rate is that of its pre-training
        ConvNeXtConfig(depths=_BASE_DEPTHS, widths=(256, 512, 1024, 2048), stochastic_depth=0.2),
        parameters=350_196_968,
        macs=60_921_030_656,
        top1=87.0,
        note="pre-trained on ImageNet-22k, 224 pixels",
        reference="timm",
    ),
}
