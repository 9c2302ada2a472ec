"""AlexNet: the two-tower network of the paper, and the one-tower network that most libraries mean by the name.

Papers: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012 (two
towers); Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, 2014 (one).
What was new: a deep convolutional network trained on a million photographs, with rectified linear units, dropout,
overlapping pooling and two GPUs; it won ILSVRC-2012.

Differences from the paper: the two towers are two groups of a convolution (conv2, conv4, conv5), which computes the
same function. The paper states 224 pixels; its arithmetic requires 227. ``alexnet`` is torchvision's version of the
2014 paper: one tower, narrower, padded, no response normalisation, dropout before fc6 and fc7 instead of after them,
torch's default initialisation. For images of other sizes the last maps are average-pooled to 6x6 before fc6. The
paper's colour augmentation belongs to the recipe.

Legend: B batch, C channels, H height, W width, D features, K classes.

Forward (``ImageClassifier.forward``; the stem is the identity):

    for stage in stages:          # conv1 | conv2 | conv3, conv4, conv5; ReLU after each, then max pooling 3x3/2
        x_BCHW = stage(x_BCHW)
    e_BD = neck(x_BCHW)           # average pooling to 6x6, flatten, dropout, fc6, ReLU, dropout, fc7, ReLU
    return head(dropout(e_BD))    # fc8: logits (B, K)

Reading order: models/alexnet.py, layers/image_classifier.py; helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options


@dataclass(frozen=True, kw_only=True)
class AlexNetConfig:
    """Options of AlexNet."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to, in pixels"""
    widths: tuple[int, ...] = (64, 192, 384, 256, 256)
    """channels of conv1 to conv5"""
    hidden: int = 4096
    """units of fc6 and of fc7"""
    towers: int = 1
    """number of towers, which exchange maps only in conv3 and fc6: the groups of conv2, conv4 and conv5"""
    response_norm: bool = False
    """whether conv1 and conv2 are followed by local response normalisation"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """conv1: 11x11 with stride 4, or 3x3 with stride 1 for images of 28 or 32 pixels (pooled=3 goes with it)"""
    padding: int = 2
    """pixels of zeros around the image for the 11x11 convolution: 2 at 224 pixels, 0 at the paper's 227"""
    pooled: int = 6
    """height and width that the last maps are averaged to before fc6"""
    dropout: float = 0.5
    """dropout rate, at two places"""
    dropout_at: Literal["inputs", "outputs"] = "inputs"
    """before fc6 and fc7, as in torchvision, or after them, as in the paper"""
    start: Literal["torch", "paper"] = "torch"
    """initialisation: torch's, or the paper's: normal with deviation 0.01, biases 1 in conv2, 4, 5 and fc6, fc7"""

    def __post_init__(self) -> None:
        check_options(self)
        if len(self.widths) != 5:
            raise ValueError(f"widths must name the channels of five convolutions, got {len(self.widths)}")
        if min((*self.widths, self.hidden, self.towers, self.pooled)) < 1 or self.padding < 0:
            raise ValueError("widths, hidden, towers and pooled must be at least 1, padding at least 0")
        if any(width % self.towers for width in self.widths):
            raise ValueError(f"every width must divide into {self.towers} towers, got {self.widths}")
        check_min_size("alexnet", self.image_size, self.min_size)

    @property
    def min_size(self) -> int:
        """Smallest image side: three 3x3 poolings of stride 2 need maps of 15 pixels after conv1."""
        return 15 if self.stem == "small" else max(1, (15 - 1) * 4 + 11 - 2 * self.padding)


class AlexNet(ImageClassifier):
    """Five convolutions and three linear layers: images (B, C, H, W) -> logits (B, K).

    The three stages of ``features`` end at the poolings after conv1, conv2 and conv5.

    >>> model = lamina.create_model("alexnet", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: AlexNetConfig) -> None:
        super().__init__()
        self.config, self.min_size, self.embedding = config, config.min_size, config.hidden
        C1, C2, C3, C4, C5 = config.widths
        g = config.towers
        if config.stem == "small":
            conv1 = nn.Conv2d(config.in_channels, C1, 3, padding=1)
        else:
            conv1 = nn.Conv2d(config.in_channels, C1, 11, stride=4, padding=config.padding)
        self.stem = nn.Identity()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(self._unit(1, conv1, norm=config.response_norm, pool=True)),
                nn.Sequential(
                    self._unit(2, nn.Conv2d(C1, C2, 5, padding=2, groups=g), norm=config.response_norm, pool=True)
                ),
                nn.Sequential(
                    self._unit(3, nn.Conv2d(C2, C3, 3, padding=1))
                    | self._unit(4, nn.Conv2d(C3, C4, 3, padding=1, groups=g))
                    | self._unit(5, nn.Conv2d(C4, C5, 3, padding=1, groups=g), pool=True)
                ),
            ]
        )
        before, after = (config.dropout, 0.0) if config.dropout_at == "inputs" else (0.0, config.dropout)
        self.neck = nn.Sequential(
            OrderedDict[str, nn.Module](
                pool=nn.AdaptiveAvgPool2d(config.pooled),
                flatten=nn.Flatten(),
                dropout6=nn.Dropout(before),
                fc6=nn.Linear(C5 * config.pooled**2, config.hidden),
                relu6=nn.ReLU(),
                dropout7=nn.Dropout(config.dropout),  # after fc6 and before fc7 is the same place
                fc7=nn.Linear(config.hidden, config.hidden),
                relu7=nn.ReLU(),
            )
        )
        self.dropout = nn.Dropout(after)
        self.reset_head(config.num_classes)
        if config.start == "paper":
            self._initialise_as_paper()

    def initialise_head(self, head: nn.Module) -> None:
        if self.config.start == "paper":
            _normal(head, bias=0.0)

    def _initialise_as_paper(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                ones = name.rpartition(".")[-1] in ("conv2", "conv4", "conv5", "fc6", "fc7")
                _normal(module, bias=1.0 if ones else 0.0)  # ones: the ReLUs receive positive inputs at first

    @staticmethod
    def _unit(number: int, conv: nn.Module, *, norm: bool = False, pool: bool = False) -> OrderedDict[str, nn.Module]:
        """Convolution, ReLU, response normalisation, pooling: the paper's order."""
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts[f"conv{number}"] = conv
        parts[f"relu{number}"] = nn.ReLU()
        if norm:
            # a / (2 + alpha sum of 5 squares)^0.75 with alpha = 1e-4; torch divides its alpha by the 5
            parts[f"norm{number}"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        if pool:
            parts[f"pool{number}"] = nn.MaxPool2d(3, stride=2)
        return parts


def _normal(layer: nn.Module, *, bias: float) -> None:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, bias)


_SMALL = {"widths": (8, 12, 16, 8, 8), "hidden": 16, "pooled": 2, "num_classes": 10}

VARIANTS = {
    "alexnet": Variant(
        build=AlexNet,
        config=AlexNetConfig(),
        card=Card(
            title="AlexNet (one tower)",
            summary="Five convolutions and three linear layers, in the one-tower form that most libraries have.",
            paper="One weird trick for parallelizing convolutional neural networks",
            authors="Krizhevsky",
            year=2014,
            arxiv="1404.5997",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=61_100_840,
            macs=714_188_480,
            reported=(
                Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=56.522, source="torchvision"),
                Reported(dataset="ImageNet-1k", metric="top-5 accuracy %", value=79.066, source="torchvision"),
            ),
            reference="torchvision.models.alexnet",
            differences=(
                "as in torchvision: one tower of 64, 192, 384, 256 and 256 maps, images padded by 2 pixels",
                "dropout before fc6 and fc7 (2012 paper: after them)",
                "no local response normalisation, torch's default initialisation",
            ),
            recipe="alexnet",
        ),
        small={"image_size": 96, **_SMALL},
    ),
    "alexnet-2012": Variant(
        build=AlexNet,
        config=AlexNetConfig(
            image_size=227,
            widths=(96, 256, 384, 384, 256),
            towers=2,
            response_norm=True,
            padding=0,
            dropout_at="outputs",
            start="paper",
        ),
        card=Card(
            title="AlexNet (2012, two towers)",
            summary="The winner of ILSVRC-2012: two towers, response normalisation, the paper's initialisation.",
            paper="ImageNet classification with deep convolutional neural networks",
            authors="Krizhevsky, Sutskever, Hinton",
            year=2012,
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 227, 227),
            parameters=60_965_224,
            macs=724_406_816,
            reported=(
                Reported(
                    dataset="ImageNet-1k",
                    metric="top-1 error %",
                    value=40.7,
                    source="the paper",
                    note="one net, validation set, ten crops",
                ),
                Reported(
                    dataset="ImageNet-1k",
                    metric="top-5 error %",
                    value=18.2,
                    source="the paper",
                    note="one net, validation set, ten crops; the 15.3 of the contest is the average of seven nets",
                ),
            ),
            reference="a torch.nn.Sequential built by hand: no pip package has it",
            differences=(
                "images of 227 pixels (the paper prints 224, which its arithmetic does not allow)",
                "the towers are groups of one convolution, not two devices",
            ),
            recipe="alexnet",
        ),
        small={"image_size": 99, **_SMALL},
    ),
}
