"""VGG: depth from 3x3 convolutions alone.

Paper: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015,
arXiv 1409.1556.
What was new: stacks of 3x3 convolutions instead of wide ones, which made 16 and 19 layers trainable. Three of them
cover 7x7 pixels with 27 C^2 weights instead of 49 C^2, and with three non-linearities.

Differences from the paper: nets A, B, D and E only (A with response normalisation gained nothing, C has 1x1
convolutions). The ``-bn`` variants are torchvision's and not in the paper: batch normalisation appeared in 2015; their
convolutions keep their biases. Convolutions are initialised as in torchvision, with He's normal distribution (fan-out).
The paper's N(0, 0.01), with which it trained net A, is ``start="normal"``; it initialised deeper nets from layers of A.
For images that are not 224 pixels a side the last maps are average-pooled to 7x7 before fc6 (the paper applies fc6 as a
convolution).

Legend: B batch, C channels, H height, W width, D features, K classes.

Forward (``ImageClassifier.forward``; the stem is the identity):

    for stage in stages:          # five times: 3x3 convolutions with ReLU, max pooling 2x2
        x_BCHW = stage(x_BCHW)
    e_BD = neck(x_BCHW)           # average pooling to 7x7, flatten, fc6, ReLU, dropout, fc7, ReLU
    return head(dropout(e_BD))    # fc8: logits (B, K)

Reading order: models/vgg.py, layers/image_classifier.py; helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options


@dataclass(frozen=True, kw_only=True)
class VGGConfig:
    """Options of VGG."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to, in pixels"""
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    """convolutions of each stage; a stage ends with pooling by 2"""
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """channels of each stage"""
    norm: Literal["none", "batch"] = "none"
    """normalisation between convolution and ReLU"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """small: the first stage is not pooled, for images of 28 or 32 pixels (pooled=1 goes with it)"""
    pooled: int = 7
    """height and width that the last maps are averaged to before fc6"""
    hidden: int = 4096
    """units of fc6 and of fc7"""
    dropout: float = 0.5
    """dropout rate after fc6 and after fc7"""
    start: Literal["he", "normal"] = "he"
    """initialisation of convolutions: He's normal, fan-out (torchvision), or normal with deviation 0.01 (the paper)"""

    def __post_init__(self) -> None:
        check_options(self)
        if not self.depths or len(self.depths) != len(self.widths):
            raise ValueError(f"depths and widths must name the same stages, got {self.depths} and {self.widths}")
        if min((*self.depths, *self.widths, self.hidden, self.pooled)) < 1:
            raise ValueError("depths, widths, hidden and pooled must be at least 1")
        check_min_size("vgg", self.image_size, self.min_size)

    @property
    def min_size(self) -> int:
        """Smallest image side: every pooling halves it."""
        poolings: int = len(self.depths) - (self.stem == "small")
        return int(2**poolings)


class VGG(ImageClassifier):
    """Stages of 3x3 convolutions and three linear layers: images (B, C, H, W) -> logits (B, K).

    The maps of stage s are those after its pooling, H / 2^(s+1) pixels high. Layers have the paper's names: the second
    convolution of the fourth stage is ``stages.3.conv4_2``.

    >>> model = lamina.create_model("vgg11", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.config, self.min_size, self.embedding = config, config.min_size, config.hidden
        fan_ins = (config.in_channels, *config.widths)
        self.stem = nn.Identity()
        self.stages = nn.ModuleList(
            self._stage(number, fan_ins[number - 1], config.widths[number - 1], convolutions)
            for number, convolutions in enumerate(config.depths, start=1)
        )
        self.neck = nn.Sequential(
            OrderedDict[str, nn.Module](
                pool=nn.AdaptiveAvgPool2d(config.pooled),
                flatten=nn.Flatten(),
                fc6=nn.Linear(config.widths[-1] * config.pooled**2, config.hidden),
                relu6=nn.ReLU(),
                dropout6=nn.Dropout(config.dropout),
                fc7=nn.Linear(config.hidden, config.hidden),
                relu7=nn.ReLU(),
            )
        )
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            self._initialise(module)
        self.reset_head(config.num_classes)

    def initialise_head(self, head: nn.Module) -> None:
        self._initialise(head)

    def _stage(self, number: int, fan_in: int, width: int, convolutions: int) -> nn.Sequential:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for layer in range(1, convolutions + 1):
            name = f"{number}_{layer}"
            parts[f"conv{name}"] = nn.Conv2d(fan_in if layer == 1 else width, width, 3, padding=1)
            if self.config.norm == "batch":
                parts[f"norm{name}"] = nn.BatchNorm2d(width)
            parts[f"relu{name}"] = nn.ReLU()
        unpooled = number == 1 and self.config.stem == "small"
        parts[f"pool{number}"] = nn.Identity() if unpooled else nn.MaxPool2d(2)
        return nn.Sequential(parts)

    def _initialise(self, module: nn.Module) -> None:
        """Initialise one layer; batch norm is the identity by default."""
        if not isinstance(module, nn.Conv2d | nn.Linear):
            return
        assert module.bias is not None
        if isinstance(module, nn.Conv2d) and self.config.start == "he":
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_NETS = {11: "A", 13: "B", 16: "D", 19: "E"}


def _variant(
    layers: int, parameters: int, macs: int, top1: float, top5: float, *, norm: Literal["none", "batch"] = "none"
) -> Variant:
    """A variant; ``top1`` and ``top5`` are the accuracies of torchvision's weights in %."""
    suffix = " with batch normalisation" if norm == "batch" else ""
    reference = f"torchvision.models.vgg{layers}{'_bn' if norm == 'batch' else ''}"
    reported = [
        Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source="torchvision"),
        Reported(dataset="ImageNet-1k", metric="top-5 accuracy %", value=top5, source="torchvision"),
    ]
    if layers in (16, 19) and norm == "none":
        note = "validation set, many scales"
        error = 24.8 if layers == 16 else 24.7
        reported += [
            Reported(dataset="ImageNet-1k", metric="top-1 error %", value=error, source="the paper", note=note),
            Reported(dataset="ImageNet-1k", metric="top-5 error %", value=7.5, source="the paper", note=note),
        ]
    differences = ["He's initialisation (paper: N(0, 0.01), the deeper nets from layers of net A)"]
    if norm == "batch":
        differences.append("batch normalisation, which the paper does not have; convolutions keep their bias")
    return Variant(
        build=VGG,
        config=VGGConfig(depths=_DEPTHS[layers], norm=norm),
        card=Card(
            title=f"VGG-{layers}{suffix}",
            summary=f"{layers} layers of 3x3 convolutions and linear layers: net {_NETS[layers]}{suffix}.",
            paper="Very deep convolutional networks for large-scale image recognition",
            authors="Simonyan, Zisserman",
            year=2014,
            arxiv="1409.1556",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=tuple(reported),
            reference=reference,
            differences=tuple(differences),
            recipe="vgg",
        ),
        small={"image_size": 64, "widths": (4, 6, 8, 8, 8), "hidden": 16, "pooled": 2, "num_classes": 10},
    )


VARIANTS = {
    "vgg11": _variant(11, 132_863_336, 7_609_090_048, 69.020, 88.628),
    "vgg13": _variant(13, 133_047_848, 11_308_466_176, 69.928, 89.246),
    "vgg16": _variant(16, 138_357_544, 15_470_264_320, 71.592, 90.382),
    "vgg19": _variant(19, 143_667_240, 19_632_062_464, 72.376, 90.876),
    "vgg11-bn": _variant(11, 132_868_840, 7_609_090_048, 70.370, 89.810, norm="batch"),
    "vgg13-bn": _variant(13, 133_053_736, 11_308_466_176, 71.586, 90.374, norm="batch"),
    "vgg16-bn": _variant(16, 138_365_992, 15_470_264_320, 73.360, 91.516, norm="batch"),
    "vgg19-bn": _variant(19, 143_678_248, 19_632_062_464, 74.218, 91.842, norm="batch"),
}
