"""ResNet for ImageNet: 18, 34, 50, 101 and 152 layers.

Paper: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385; pre-activation:
the same, "Identity mappings in deep residual networks", ECCV 2016, arXiv 1603.05027.
What was new: blocks learn the residual F(x) = H(x) - x and a shortcut adds x, so that depth no longer makes training
harder: deeper plain networks have a higher *training* error (degradation), deeper residual networks a lower one.

Often misread: 11.3 is the number of billions of multiply-adds of the 152 layers (``version="v1"``), which have 60.2
million parameters.

Differences from the paper: bottlenecks have their stride on the 3x3 ("v1.5", as in torchvision); ``version="v1"`` has
it on the first 1x1, as in the paper. Convolutions are initialised by fan-out, the output layer as in torch. ReLU
follows the sum, so the shortcut path is not quite an identity; ``preactivation=True`` makes it one.

Legend: B batch, C channels, H height, W width, D features, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                    # 7x7/2 convolution, BN, ReLU, max pooling 3x3/2
    for stage in stages:                     # 4 stages, stride 2 in the first block of all but the first
        for block in stage:                  # branch: 1x1, 3x3, 1x1 or 3x3, 3x3 convolutions, BN after each
            x_BCHW = relu(stochastic_depth(block.branch(x_BCHW)) + block.shortcut(x_BCHW))
    e_BD = neck(x_BCHW)                      # mean over positions
    return head(dropout(e_BD))               # linear: logits (B, K)

Reading order: models/resnet.py, layers/image_classifier.py, layers/residual.py, layers/stochastic_depth.py; helpers:
layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier
from lamina.layers.residual import Shortcut, check_residual, conv, initialise_residual, residual_neck, residual_stages


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Options of ResNet."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size"""
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    """blocks of each stage"""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    """channels of each stage's 3x3 convolutions; the first is the stem's too"""
    bottleneck: bool = True
    """1x1-3x3-1x1 blocks whose output has four times their width; false: 3x3-3x3"""
    version: Literal["v1", "v1.5"] = "v1.5"
    """stride of a bottleneck: v1 on the first 1x1 (paper), v1.5 on the 3x3"""
    preactivation: bool = False
    """normalisation and ReLU before the convolutions, none after the sum (1603.05027)"""
    shortcut: Shortcut = "B"
    """A: zeros for new channels; B: projections where the shape changes; C: projections everywhere"""
    residual: bool = True
    """false: the paper's plain network, without shortcuts"""
    zero_gamma: bool = False
    """each block is initially its shortcut: the scale of its last normalisation starts at 0 (1706.02677)"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """imagenet: 7x7 stride 2 and max pooling; small: 3x3 at full resolution, for images of about 32 pixels"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block in training; it rises linearly from 0 at the stem (1603.09382)"""

    def __post_init__(self) -> None:
        check_residual("resnet", self)


class ResNet(ImageClassifier):
    """Stem, stages of residual blocks, mean over positions, linear layer: images (B, C, H, W) -> logits (B, K).

    With ``preactivation``, ``features`` returns the sums without the last normalisation and ReLU, which belong to the
    neck.

    >>> model = lamina.create_model("resnet50", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.widths[0]
        self.stem = nn.Sequential()
        self.stem.add_module(
            "conv", conv(config.in_channels, width, *((7, 2) if config.stem == "imagenet" else (3, 1)))
        )
        self.stem.add_module("norm", nn.BatchNorm2d(width))
        self.stem.add_module("act", nn.ReLU(inplace=True))
        if config.stem == "imagenet":
            self.stem.add_module("pool", nn.MaxPool2d(3, 2, padding=1))
        self.stages = residual_stages(
            width, config, bottleneck=config.bottleneck, stride_on_3x3=config.version == "v1.5"
        )
        self.embedding = config.widths[-1] * (4 if config.bottleneck else 1)
        self.neck = residual_neck(self.embedding, preactivation=config.preactivation)
        self.dropout = nn.Dropout(config.dropout)
        initialise_residual(self, zero_gamma=config.zero_gamma)
        self.reset_head(config.num_classes)


def _variant(
    depth: int,
    blocks: tuple[int, ...],
    *,
    parameters: int,
    macs: int,
    accuracy: float,
    error: float,
    bottleneck: bool = True,
) -> Variant:
    kind = "bottleneck" if bottleneck else "basic"
    differences = ["convolutions initialised by fan-out, the output layer as in torch"]
    if bottleneck:
        differences.append("stride on the 3x3 of a bottleneck (paper: on its first 1x1; version=v1)")
    small: dict[str, Any] = {"image_size": 32, "blocks": (1, 2, 1), "widths": (8, 12, 16)}
    return Variant(
        build=ResNet,
        config=ResNetConfig(blocks=blocks, bottleneck=bottleneck),
        card=Card(
            title=f"ResNet-{depth}",
            summary=f"{sum(blocks)} {kind} residual blocks, {depth} layers: shortcuts that make depth trainable.",
            paper="Deep residual learning for image recognition",
            authors="He, Zhang, Ren, Sun",
            year=2016,
            arxiv="1512.03385",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(
                    dataset="ImageNet",
                    metric="top-1 error %",
                    value=error,
                    source=f"the paper, table {2 if depth == 18 else 3}",
                    note=f"validation, ten crops, shortcut {'A' if depth == 18 else 'B'}",
                ),
                Reported(
                    dataset="ImageNet",
                    metric="top-1 accuracy %",
                    value=accuracy,
                    source="torchvision, weights IMAGENET1K_V1",
                    note="validation, one crop",
                ),
            ),
            reference=f"torchvision.models.resnet{depth}",
            differences=tuple(differences),
            recipe="resnet",
        ),
        small=small,
    )


VARIANTS = {
    "resnet18": _variant(
        18, (2, 2, 2, 2), parameters=11_689_512, macs=1_814_073_344, accuracy=69.758, error=27.88, bottleneck=False
    ),
    "resnet34": _variant(
        34, (3, 4, 6, 3), parameters=21_797_672, macs=3_663_761_408, accuracy=73.314, error=24.52, bottleneck=False
    ),
    "resnet50": _variant(50, (3, 4, 6, 3), parameters=25_557_032, macs=4_089_184_256, accuracy=76.130, error=22.85),
    "resnet101": _variant(101, (3, 4, 23, 3), parameters=44_549_160, macs=7_801_405_440, accuracy=77.374, error=21.75),
    "resnet152": _variant(152, (3, 8, 36, 3), parameters=60_192_808, macs=11_513_626_624, accuracy=78.312, error=21.43),
}
