"""MobileNet (V1).

Paper: Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam, "MobileNets: efficient convolutional neural
networks for mobile vision applications", 2017, arXiv 1704.04861.
What was new: every convolution but the first is factorised into a depthwise 3x3 and a pointwise 1x1 one, at 1/N + 1/9
of the cost for N output channels; two multipliers shrink the network: alpha its widths, rho the image size.

Differences from the paper: the last depthwise convolution has stride 1 (the paper's table prints 2, but its map stays
7 x 7). alpha multiplies and rounds down (timm rounds to multiples of 8: the same for the paper's four). The paper
states no initialisation: ours is that of torchvision's MobileNet V2. timm's weights need ``activation="relu6"``.

rho is ``image_size`` / 224: it changes no weight, and multiply-adds by about rho^2; alpha changes both by about its
square.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 3x3/2 convolution, BN, ReLU
    for stage in stages:                 # each at one resolution
        for block in stage:              # depthwise 3x3, BN, ReLU, pointwise 1x1, BN, ReLU
            x_BCHW = block.pointwise(block.depthwise(x_BCHW))
    e_BD = neck(x_BCHW)                  # mean over positions
    return head(dropout(e_BD))           # linear: logits (B, K)

Reading order: models/mobilenet_v1.py, layers/image_classifier.py, layers/convolution.py; helpers:
layers/inverted_residual.py (its last functions), layers/activations.py, layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.convolution import conv_norm
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.inverted_residual import check_table, group_by_resolution, initialise, small_image_strides

STRIDES = (1, 2, 2, 2, 2)


@dataclass(frozen=True, kw_only=True)
class MobileNetV1Config:
    """Options of MobileNet V1."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size (the paper's rho is image_size / 224)"""
    alpha: float = 1.0
    """factor of all widths"""
    stem_width: int = 32
    """channels of the first convolution, before alpha"""
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """channels of the five stages, before alpha"""
    depths: tuple[int, ...] = (1, 2, 2, 6, 2)
    """depthwise separable convolutions of each stage"""
    activation: Literal["relu", "relu6"] = "relu"
    """non-linearity after each convolution"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """small: for images of about 32 pixels; the first convolution and the second stage have stride 1, so that the
    network halves the maps three times instead of five"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""
    eps: float = 1e-5
    """epsilon of batch normalisation, added to the variances"""
    momentum: float = 0.1
    """weight of the newest batch in the running statistics of batch normalisation"""

    def __post_init__(self) -> None:
        check_options(self)
        check_min_size("mobilenet-v1", self.image_size, 1)
        check_table(self, len(STRIDES))
        if self.alpha <= 0.0 or self.stem_width < 1:
            raise ValueError("alpha must be above 0 and stem_width at least 1")


class MobileNetV1(ImageClassifier):
    """One convolution, then depthwise separable ones in five stages: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("mobilenet-v1", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: MobileNetV1Config) -> None:
        super().__init__()
        self.config = config
        small = config.stem == "small"
        width = self._scaled(config.stem_width)
        unit = partial(conv_norm, act=config.activation, eps=config.eps, momentum=config.momentum)
        self.stem = unit(config.in_channels, width, 3, stride=1 if small else 2)
        rows: list[list[nn.Module]] = []
        for base, depth, stride in zip(
            config.widths, config.depths, small_image_strides(STRIDES) if small else STRIDES, strict=True
        ):
            out = self._scaled(base)
            rows.append([self._separable(width, out, stride)])
            rows[-1] += [self._separable(out, out, 1) for _ in range(depth - 1)]
            width = out
        self.stages = group_by_resolution(rows, STRIDES)
        self.neck = global_average_pool()
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = width
        self.reset_head(config.num_classes)
        initialise(self)

    def initialise_head(self, head: nn.Module) -> None:
        initialise(head)

    def _scaled(self, width: int) -> int:
        return max(1, int(self.config.alpha * width))

    def _separable(self, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        unit = partial(conv_norm, act=self.config.activation, eps=self.config.eps, momentum=self.config.momentum)
        return nn.Sequential(
            OrderedDict(
                depthwise=unit(in_channels, in_channels, 3, stride=stride, groups=in_channels),
                pointwise=unit(in_channels, out_channels, 1),
            )
        )


def _variant(alpha: float, parameters: int, macs: int, top1: float, *others: Reported) -> Variant:
    """A variant; ``top1`` is the paper's accuracy in % at 224 pixels."""
    return Variant(
        build=MobileNetV1,
        config=MobileNetV1Config(alpha=alpha),
        card=Card(
            title=f"MobileNet V1, alpha {alpha:g}",
            summary="Depthwise separable convolutions, for phones"
            + ("." if alpha == 1 else f"; {alpha:g} of the widths."),
            paper="MobileNets: efficient convolutional neural networks for mobile vision applications",
            authors="Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam",
            year=2017,
            arxiv="1704.04861",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source="the paper"),
                *others,
            ),
            reference="timm mobilenetv1_100, with ReLU in place of ReLU6",
            differences=(
                "the last depthwise convolution has stride 1 (the paper's table prints 2, an error)",
                "the initialisation of torchvision's MobileNet V2 (the paper states none)",
            ),
            recipe="mobilenet-v1",
            aliases=("mobilenetv1_100",) if alpha == 1 else (),
        ),
        small={"image_size": 64, "stem_width": 8, "widths": (16, 16, 24, 32, 32), "depths": (1, 2, 1, 1, 1)},
    )


def _at(side: int, top1: float) -> Reported:
    note = f"images of {side} x {side} pixels"
    return Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source="the paper", note=note)


VARIANTS = {
    "mobilenet-v1": _variant(1.0, 4_231_976, 568_740_352, 70.6, _at(192, 69.1), _at(160, 67.2), _at(128, 64.4)),
    "mobilenet-v1-075": _variant(0.75, 2_585_560, 325_400_448, 68.4),
    "mobilenet-v1-050": _variant(0.5, 1_331_592, 149_497_088, 63.7),
    "mobilenet-v1-025": _variant(0.25, 470_072, 41_030_272, 50.6),
}
