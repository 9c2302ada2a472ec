"""ResNet for CIFAR-10: 20, 32, 44, 56, 110 and 1202 layers (6n + 2).

Paper: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385, section 4.2;
pre-activation: arXiv 1603.05027.
What was new: a study of depth itself. Plain networks (``residual=False``) train worse the deeper they are, residual
ones better, up to 1202 layers.

Differences from the paper: of the zero channels that shortcut A adds, half precede and half follow the old ones, where
the authors' Torch code appends all of them (the same network up to the order of channels). Convolutions are
initialised by fan-out, the output layer as in torch.

Legend: B batch, C channels, H height, W width, D features, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                    # 3x3 convolution to 16 channels, BN, ReLU
    for stage in stages:                     # 3 stages of 16, 32, 64 channels, strides 1, 2, 2
        for block in stage:                  # n blocks; branch: 3x3, BN, ReLU, 3x3, BN
            x_BCHW = relu(stochastic_depth(block.branch(x_BCHW)) + block.shortcut(x_BCHW))
    e_BD = neck(x_BCHW)                      # mean over positions
    return head(dropout(e_BD))               # linear: logits (B, K)

Reading order: models/resnet_cifar.py, layers/image_classifier.py, layers/residual.py, layers/stochastic_depth.py;
helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier
from lamina.layers.residual import Shortcut, check_residual, conv, initialise_residual, residual_neck, residual_stages


@dataclass(frozen=True, kw_only=True)
class ResNetCifarConfig:
    """Options of the CIFAR ResNets."""

    num_classes: int = 10
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 32
    """height and width that images are resized to; forward accepts any size"""
    blocks: tuple[int, ...] = (3, 3, 3)
    """blocks of each stage: the paper's n, three times"""
    widths: tuple[int, ...] = (16, 32, 64)
    """channels of each stage; the first is the stem's too"""
    preactivation: bool = False
    """normalisation and ReLU before the convolutions, none after the sum (1603.05027)"""
    shortcut: Shortcut = "A"
    """A: zeros for new channels (paper); B: projections where the shape changes; C: projections everywhere"""
    residual: bool = True
    """false: the paper's plain network, without shortcuts"""
    zero_gamma: bool = False
    """each block is initially its shortcut: the scale of its last normalisation starts at 0 (1706.02677)"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block in training; it rises linearly from 0 at the stem (1603.09382)"""

    def __post_init__(self) -> None:
        check_residual("resnet_cifar", self)


class ResNetCifar(ImageClassifier):
    """3x3 stem, three stages of basic blocks, mean over positions, linear layer: images (B, C, H, W) -> logits (B, K).

    With ``preactivation``, ``features`` returns the sums without the last normalisation and ReLU, which belong to the
    neck.

    >>> model = lamina.create_model("resnet20", num_classes=10)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: ResNetCifarConfig) -> None:
        super().__init__()
        self.config = config
        width = config.widths[0]
        self.stem = nn.Sequential(
            OrderedDict(conv=conv(config.in_channels, width, 3), norm=nn.BatchNorm2d(width), act=nn.ReLU(inplace=True))
        )
        self.stages = residual_stages(width, config, bottleneck=False)
        self.embedding = config.widths[-1]
        self.neck = residual_neck(self.embedding, preactivation=config.preactivation)
        self.dropout = nn.Dropout(config.dropout)
        initialise_residual(self, zero_gamma=config.zero_gamma)
        self.reset_head(config.num_classes)


def _variant(n: int, *, parameters: int, macs: int, error: float, note: str = "") -> Variant:
    depth = 6 * n + 2
    return Variant(
        build=ResNetCifar,
        config=ResNetCifarConfig(blocks=(n, n, n)),
        card=Card(
            title=f"ResNet-{depth} (CIFAR)",
            summary=f"{3 * n} basic residual blocks on 32 x 32 images, {depth} layers, shortcuts without weights.",
            paper="Deep residual learning for image recognition",
            authors="He, Zhang, Ren, Sun",
            year=2016,
            arxiv="1512.03385",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 32, 32),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(
                    dataset="CIFAR-10", metric="test error %", value=error, source="the paper, table 6", note=note
                ),
            ),
            reference="plain functions over the weights, written in the test",
            differences=(
                "shortcut A adds channels on both sides (the authors' code: at the end)",
                "convolutions initialised by fan-out, the output layer as in torch",
            ),
            recipe="resnet-cifar",
        ),
        small={"image_size": 16, "blocks": (1, 1, 1), "widths": (8, 12, 16)},
    )


VARIANTS = {
    "resnet20": _variant(3, parameters=269_722, macs=40_551_040, error=8.75),
    "resnet32": _variant(5, parameters=464_154, macs=68_862_592, error=7.51),
    "resnet44": _variant(7, parameters=658_586, macs=97_174_144, error=7.17),
    "resnet56": _variant(9, parameters=853_018, macs=125_485_696, error=6.97),
    "resnet110": _variant(
        18, parameters=1_727_962, macs=252_887_680, error=6.43, note="the best of five runs; 6.61 +- 0.16"
    ),
    "resnet1202": _variant(200, parameters=19_421_274, macs=2_829_238_912, error=7.93),
}
