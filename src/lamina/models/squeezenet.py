"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

Paper: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
and <0.5MB model size", arXiv 1602.07360, 2016. Version 1.1 is from the authors' repository, forresti/SqueezeNet.
What was new: fire modules, which squeeze to few channels by 1x1 before they expand by 1x1 and 3x3; late pooling; no
linear layers. (The 0.5 MB are reached with Deep Compression, which is not implemented here.)

Differences from the paper: torchvision's initialisation (He's uniform, biases zero) instead of Xavier's in the authors'
Caffe nets. Their conv10 of version 1.0 pads its maps by one pixel; torchvision's and ours do not. conv10 is followed by
a ReLU, as in the reference, so outputs are never negative: that suits softmax only, and ``output_relu=False`` removes
it for multilabel classification and regression.

Legend: B batch, C channels, H height, W width, D features, K classes; e, s are the paper's expand and squeeze widths.

``SqueezeNet`` overrides the ``forward`` of its base class, because its head is a convolution.

Reading order: models/squeezenet.py, layers/image_classifier.py; helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool


@dataclass(frozen=True, kw_only=True)
class SqueezeNetConfig:
    """Options of SqueezeNet. Fire module i = 0, 1, ... has e = base_e + incr_e * floor(i / freq) expand channels."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to, in pixels"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """conv1 with stride 2 and pooling, or 3x3 with stride 1 and no pooling, for images of 28 or 32 pixels"""
    stem_width: int = 96
    """channels of conv1"""
    stem_kernel: int = 7
    """side of conv1's kernel; stem="small" has 3"""
    depths: tuple[int, ...] = (3, 4, 1)
    """fire modules of each stage; between stages maps are pooled"""
    base_e: int = 128
    """expand channels of the first fire modules"""
    incr_e: int = 128
    """channels added after every ``freq`` fire modules"""
    freq: int = 2
    """fire modules of the same width"""
    pct_3x3: float = 0.5
    """share of the expand channels that 3x3 convolutions compute"""
    squeeze_ratio: float = 0.125
    """squeeze channels per expand channel"""
    bypass: Literal["none", "simple", "complex"] = "none"
    """simple: the input of a fire module is added to its output where the channels match (fire3, 5, 7, 9);
    complex: elsewhere too, through a 1x1 convolution"""
    dropout: float = 0.5
    """dropout rate of the last maps"""
    output_relu: bool = True
    """whether conv10 is followed by a ReLU, as in the reference; False for multilabel and regression"""

    def __post_init__(self) -> None:
        check_options(self)
        if not self.depths or min((*self.depths, self.stem_width, self.stem_kernel, self.freq)) < 1:
            raise ValueError("depths, stem_width, stem_kernel and freq must be at least 1")
        if self.base_e < 2 or self.incr_e < 0:
            raise ValueError("base_e must be at least 2 and incr_e at least 0")
        if not 0.0 < self.pct_3x3 < 1.0 or not 0.0 < self.squeeze_ratio <= 1.0:
            raise ValueError("pct_3x3 must lie in (0, 1) and squeeze_ratio in (0, 1]")
        check_min_size("squeezenet", self.image_size, self.min_size)

    @property
    def min_size(self) -> int:
        """Smallest image side: a 3x3 pooling of stride 2, rounding up, maps 2 n pixels to n."""
        poolings = len(self.depths) - 1
        if self.stem == "small":
            return int(2**poolings)
        return (int(2 ** (poolings + 1)) - 1) * 2 + self.stem_kernel

    def fire_widths(self, number: int) -> tuple[int, int, int]:
        """Channels of the squeeze, 1x1 and 3x3 convolutions of fire module ``number``, counted from 0."""
        e = self.base_e + self.incr_e * (number // self.freq)
        e3 = min(max(round(self.pct_3x3 * e), 1), e - 1)
        return max(round(self.squeeze_ratio * e), 1), e - e3, e3


class Fire(nn.Module):
    """1x1 squeeze, then 1x1 and 3x3 expand in parallel, each with ReLU: (B, C, H, W) -> (B, e1 + e3, H, W)."""

    def __init__(self, channels: int, s: int, e1: int, e3: int, bypass: str = "none") -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, s, 1)
        self.expand1x1 = nn.Conv2d(s, e1, 1)
        self.expand3x3 = nn.Conv2d(s, e3, 3, padding=1)
        self.relu = nn.ReLU()
        self.bypass: nn.Module | None = None
        if bypass != "none" and channels == e1 + e3:
            self.bypass = nn.Identity()
        elif bypass == "complex":
            self.bypass = nn.Conv2d(channels, e1 + e3, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        s_BCHW = self.relu(self.squeeze(x_BCHW))
        e_BCHW = torch.cat([self.relu(self.expand1x1(s_BCHW)), self.relu(self.expand3x3(s_BCHW))], dim=1)
        return e_BCHW if self.bypass is None else e_BCHW + self.bypass(x_BCHW)


class SqueezeNet(ImageClassifier):
    """Fire modules and a convolutional head: images (B, C, H, W) -> logits (B, K).

    The maps of a stage are those before the next pooling. The head is a convolution, applied before the mean over
    positions: ``embed`` returns the mean of the last stage's maps, but the logits are not a linear function of it.

    >>> model = lamina.create_model("squeezenet-1.1", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: SqueezeNetConfig) -> None:
        super().__init__()
        self.config, self.min_size = config, config.min_size
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if config.stem == "small":
            parts["conv1"] = nn.Conv2d(config.in_channels, config.stem_width, 3, padding=1)
        else:
            parts["conv1"] = nn.Conv2d(config.in_channels, config.stem_width, config.stem_kernel, stride=2)
        parts["relu1"] = nn.ReLU()
        if config.stem == "imagenet":
            parts["pool1"] = _pool()
        self.stem = nn.Sequential(parts)
        self.stages = nn.ModuleList()
        channels, fire = config.stem_width, 0
        for stage, depth in enumerate(config.depths):
            parts = OrderedDict() if stage == 0 else OrderedDict(pool=_pool())
            for _ in range(depth):
                s, e1, e3 = config.fire_widths(fire)
                parts[f"fire{fire + 2}"] = Fire(channels, s, e1, e3, config.bypass)  # conv1 is the paper's layer 1
                channels, fire = e1 + e3, fire + 1
            self.stages.append(nn.Sequential(parts))
        self.embedding = channels
        self.neck = global_average_pool()
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                _zero_bias(module)
        self.reset_head(config.num_classes)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K). Raises ValueError as ``features`` does."""
        (x_BCHW,) = self.features(x_BCHW, [-1])
        logits_BK: Tensor = self.neck(self.head(self.dropout(x_BCHW)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace conv10 by a newly initialised one; with 0 classes forward returns the embedding (B, D)."""
        self.config = replace(self.config, num_classes=num_classes)
        if not num_classes:
            self.head = nn.Identity()
            return
        like = next(self.parameters())
        conv10 = nn.Conv2d(self.embedding, num_classes, 1, device=like.device, dtype=like.dtype)
        nn.init.normal_(conv10.weight, std=0.01)
        _zero_bias(conv10)
        relu10 = nn.ReLU() if self.config.output_relu else nn.Identity()
        self.head = nn.Sequential(OrderedDict[str, nn.Module](conv10=conv10, relu10=relu10))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _zero_bias(conv: nn.Conv2d) -> None:
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


def _variant(
    version: str, config: SqueezeNetConfig, parameters: int, macs: int, reported: tuple[Reported, ...]
) -> Variant:
    return Variant(
        build=SqueezeNet,
        config=config,
        card=Card(
            title=f"SqueezeNet {version}",
            summary="Fire modules that squeeze before they expand; no linear layers, 1.2 million parameters.",
            paper="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
            authors="Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer",
            year=2016,
            arxiv="1602.07360",
            inputs=("image",),
            tasks=("classification",),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=reported,
            reference=f"torchvision.models.squeezenet{version.replace('.', '_')}",
            differences=(
                "He's uniform initialisation, as in torchvision (the authors' Caffe net: Xavier's)",
                "conv10 does not pad (Caffe net of version 1.0: by one pixel)",
                *(("version 1.1 is from the authors' repository, not in the paper",) if version == "1.1" else ()),
            ),
            recipe="squeezenet",
            aliases=(f"squeezenet{version.replace('.', '_')}",),
        ),
        small={"image_size": 48, "stem_width": 8, "base_e": 16, "incr_e": 8, "squeeze_ratio": 0.5, "num_classes": 10},
    )


def _accuracy(top1: float, top5: float, source: str) -> tuple[Reported, ...]:
    return (
        Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source=source),
        Reported(dataset="ImageNet-1k", metric="top-5 accuracy %", value=top5, source=source),
    )


VARIANTS = {
    "squeezenet-1.0": _variant(
        "1.0",
        SqueezeNetConfig(),
        1_248_424,
        818_924_576,
        _accuracy(57.5, 80.3, "the paper") + _accuracy(58.092, 80.420, "torchvision"),
    ),
    "squeezenet-1.1": _variant(
        "1.1",
        SqueezeNetConfig(stem_width=64, stem_kernel=3, depths=(2, 2, 4)),
        1_235_496,
        349_151_936,
        _accuracy(58.178, 80.624, "torchvision"),
    ),
}
