"""MobileNet V2.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, arXiv
1801.04381.
What was new: the inverted residual (a block is narrow at both ends and wide at its depthwise convolution, the shortcut
connects the narrow ends) and the linear bottleneck (no non-linearity after the projection, which would lose
information).

Differences from the paper: initialisation as in torchvision (the paper states none). Widths times alpha are rounded to
multiples of 8, and the last 1x1 convolution keeps at least its 1280 channels, as in the released code.

A stage of ``features`` holds all blocks at one resolution; the last 1x1 convolution belongs to the neck.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 3x3/2 convolution, BN, ReLU6
    for stage in stages:                 # 5 stages, each at one resolution
        for block in stage:              # branch: 1x1 expansion, depthwise 3x3, linear 1x1 projection
            x_BCHW = x_BCHW + block.branch(x_BCHW)    # without the sum where the shape changes
    e_BD = neck(x_BCHW)                  # 1x1 convolution to 1280, BN, ReLU6, mean over positions
    return head(dropout(e_BD))           # linear: logits (B, K)

Reading order: models/mobilenet_v2.py, layers/image_classifier.py, layers/inverted_residual.py, layers/convolution.py;
helpers: layers/activations.py, layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.convolution import conv_norm, make_divisible
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.inverted_residual import (
    InvertedResidual,
    check_table,
    group_by_resolution,
    initialise,
    small_image_strides,
)

EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)  # t of table 2
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # s of table 2


@dataclass(frozen=True, kw_only=True)
class MobileNetV2Config:
    """Options of MobileNet V2."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size"""
    alpha: float = 1.0
    """factor of all widths"""
    stem_width: int = 32
    """channels of the first convolution, before alpha"""
    widths: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    """channels of the seven rows of blocks, before alpha (c of the paper's table 2)"""
    depths: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    """blocks of each row (n of the paper's table 2)"""
    head_width: int = 1280
    """channels of the last 1x1 convolution; scaled only by an alpha above 1"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """small: for images of about 32 pixels; the first convolution and the second row of blocks have stride 1, so that
    the network halves the maps three times instead of five"""
    dropout: float = 0.2
    """dropout rate of the features before the output layer"""
    eps: float = 1e-5
    """epsilon of batch normalisation, added to the variances"""
    momentum: float = 0.1
    """weight of the newest batch in the running statistics of batch normalisation"""

    def __post_init__(self) -> None:
        check_options(self)
        check_min_size("mobilenet-v2", self.image_size, 1)
        check_table(self, len(STRIDES))
        if self.alpha <= 0.0 or min(self.stem_width, self.head_width) < 1:
            raise ValueError("alpha must be above 0, stem_width and head_width at least 1")


class MobileNetV2(ImageClassifier):
    """A convolution, inverted residuals in five stages, a 1x1 convolution: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("mobilenet-v2", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.config = config
        small = config.stem == "small"
        unit = partial(conv_norm, act="relu6", eps=config.eps, momentum=config.momentum)
        block = partial(InvertedResidual, kernel=3, act="relu6", eps=config.eps, momentum=config.momentum)
        width = make_divisible(config.alpha * config.stem_width)
        self.stem = unit(config.in_channels, width, 3, stride=1 if small else 2)
        rows: list[list[nn.Module]] = []
        strides = small_image_strides(STRIDES) if small else STRIDES
        for t, c, n, s in zip(EXPANSIONS, config.widths, config.depths, strides, strict=True):
            out = make_divisible(config.alpha * c)
            rows.append([block(width, t * width, out, stride=s)])
            rows[-1] += [block(out, t * out, out, stride=1) for _ in range(n - 1)]
            width = out
        self.stages = group_by_resolution(rows, STRIDES)
        self.embedding = make_divisible(max(1.0, config.alpha) * config.head_width)
        self.neck = nn.Sequential(
            OrderedDict[str, nn.Module](conv=unit(width, self.embedding, 1), pool=global_average_pool())
        )
        self.dropout = nn.Dropout(config.dropout)
        self.reset_head(config.num_classes)
        initialise(self)

    def initialise_head(self, head: nn.Module) -> None:
        initialise(head)


def _reported(top1: float, source: str, note: str = "") -> Reported:
    return Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source=source, note=note)


VARIANTS = {
    "mobilenet-v2": Variant(
        build=MobileNetV2,
        config=MobileNetV2Config(),
        card=Card(
            title="MobileNet V2",
            summary="Inverted residuals with linear bottlenecks, for phones.",
            paper="MobileNetV2: inverted residuals and linear bottlenecks",
            authors="Sandler, Howard, Zhu, Zhmoginov, Chen",
            year=2018,
            arxiv="1801.04381",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=3_504_872,
            macs=300_774_272,
            reported=(
                _reported(72.0, "the paper"),
                _reported(75.0, "the paper", "alpha 1.4"),
                _reported(71.878, "torchvision", "weights IMAGENET1K_V1"),
            ),
            reference="torchvision.models.mobilenet_v2",
            differences=("torchvision's initialisation (the paper states none)",),
            recipe="mobilenet-v2",
            aliases=("mobilenetv2_100",),
        ),
        small={
            "image_size": 64,
            "stem_width": 8,
            "widths": (8, 8, 8, 16, 24, 24, 32),
            "depths": (1, 2, 1, 1, 1, 1, 1),
            "head_width": 64,
        },
    ),
}
