"""Adaptive instance normalisation: any style in one pass.

Paper: Huang, Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017,
arXiv 1703.06868.
What was new: the features of the content are given the mean and deviation of those of the style, channel by channel;
a decoder, trained once for all styles, turns them into a picture.

Differences from the paper: pictures of any size (padded to a multiple of 8 by reflection, and cut). Without published
weights the encoder is random, drawn with He's normal distribution (fan-in); ``--objective.weights FILE`` gives it those
of a VGG-19 (the authors use the normalised one of Gatys et al.).

Legend: B batch, C channels, H height, W width, D channels of relu4_1.

Forward:

    c_BDHW, s_BDHW = encoder(content_BCHW), encoder(style_BCHW)      # VGG-19 to relu4_1, frozen
    t_BDHW = deviation(s) * (c - mean(c)) / deviation(c) + mean(s)   # AdaIN (equation 8)
    t_BDHW = alpha * t_BDHW + (1 - alpha) * c_BDHW                   # equation 14
    return decoder(t_BDHW)                                           # the encoder mirrored, nearest up-sampling

Reading order: models/adain.py, layers/instance_statistics.py; helper: layers/shapes.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.instance_statistics import InstanceStatistics
from lamina.layers.shapes import expect_image

DEPTHS = (2, 2, 4)
"""convolutions of the stages of VGG-19 before relu4_1"""


@dataclass(frozen=True, kw_only=True)
class AdaINConfig:
    """Options of style transfer by adaptive instance normalisation."""

    in_channels: int = 3
    """channels of an image"""
    image_size: int = 256
    """height and width that training images are resized to, in pixels"""
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """channels of the stages of the encoder"""

    def __post_init__(self) -> None:
        if min(self.in_channels, *self.widths) < 1 or len(self.widths) != 4:
            raise ValueError("in_channels and the four widths must be at least 1")
        if self.image_size < self.min_size:
            raise ValueError(f"adain needs images of at least {self.min_size} pixels, got {self.image_size}")

    @property
    def min_size(self) -> int:
        """Smallest image side: relu4_1 needs 2 positions to have a deviation and to be reflected."""
        return 16


class AdaIN(nn.Module):
    """Content and style pictures (B, C, H, W), of different sizes or not -> pictures of the size of the content.

    >>> model = lamina.create_model("adain")
    >>> model(torch.zeros(1, 3, 61, 75), torch.zeros(1, 3, 32, 32), alpha=0.5).shape
    torch.Size([1, 3, 61, 75])
    """

    def __init__(self, config: AdaINConfig) -> None:
        super().__init__()
        self.config, self.min_size = config, config.min_size
        self.encoder = nn.ModuleList(_encoder(config))
        self.decoder = nn.Sequential(*_decoder(config))
        self.statistics = InstanceStatistics()
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every convolution of VGG has a bias
        self.encoder.requires_grad_(False)

    def forward(self, content_BCHW: Tensor, style_BCHW: Tensor, alpha: float = 1.0) -> Tensor:
        """``alpha`` from 0 (the content reconstructed) to 1 (the style). Raises ValueError for images with the wrong
        number of channels or smaller than ``min_size``."""
        return self.restyle(content_BCHW, self.encode(style_BCHW)[-1], alpha)

    def restyle(self, content_BCHW: Tensor, style_BDHW: Tensor, alpha: float = 1.0) -> Tensor:
        """``forward`` for a style that is encoded already: many pictures, or many tiles of one, in one style."""
        height, width = content_BCHW.shape[2], content_BCHW.shape[3]
        out_BCHW: Tensor = self.decoder(self.blend(self.encode(content_BCHW)[-1], style_BDHW, alpha))
        return out_BCHW[:, :, :height, :width]

    def encode(self, x_BCHW: Tensor) -> list[Tensor]:
        """The maps relu1_1, relu2_1, relu3_1 and relu4_1."""
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        height, width = x_BCHW.shape[2], x_BCHW.shape[3]
        x_BCHW = F.pad(x_BCHW, (0, (8 - width % 8) % 8, 0, (8 - height % 8) % 8), mode="reflect")
        maps = []
        for stage in self.encoder:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return maps

    def blend(self, content_BDHW: Tensor, style_BDHW: Tensor, alpha: float = 1.0) -> Tensor:
        """AdaIN: the content's features with the style's mean and deviation, mixed with the content's own."""
        mean, deviation = self.statistics(content_BDHW)
        style_mean, style_deviation = self.statistics.measure(style_BDHW)
        target_BDHW: Tensor = (content_BDHW - mean) / deviation * style_deviation + style_mean
        return alpha * target_BDHW + (1 - alpha) * content_BDHW


def _convolution(channels: int, width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]


def _encoder(config: AdaINConfig) -> Iterator[nn.Module]:
    """Stage i begins after relu_i_1 and ends with relu_(i+1)_1."""
    w = config.widths
    yield nn.Sequential(*_convolution(config.in_channels, w[0]))
    for stage, depth in enumerate(DEPTHS):
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += _convolution(w[stage], w[stage])
        yield nn.Sequential(*layers, nn.MaxPool2d(2), *_convolution(w[stage], w[stage + 1]))


def _decoder(config: AdaINConfig) -> Iterator[nn.Module]:
    w = config.widths
    for stage in (2, 1, 0):
        yield from _convolution(w[stage + 1], w[stage])
        yield nn.Upsample(scale_factor=2, mode="nearest")
        for _ in range(DEPTHS[stage] - 1):
            yield from _convolution(w[stage], w[stage])
    yield nn.ReflectionPad2d(1)
    yield nn.Conv2d(w[0], config.in_channels, 3)


def _example(config: Any, batch: int) -> dict[str, Any]:
    size = (batch, config.in_channels, config.image_size, config.image_size)
    draw = torch.Generator().manual_seed(1)
    return {
        "content_BCHW": torch.randn(size, generator=draw),
        "style_BCHW": torch.randn(size, generator=draw),
    }


VARIANTS = {
    "adain": Variant(
        build=AdaIN,
        config=AdaINConfig(),
        card=Card(
            title="AdaIN style transfer",
            summary="Any style in one pass: the content's features with the style's mean and deviation, decoded.",
            paper="Arbitrary style transfer in real-time with adaptive instance normalization",
            authors="Huang, Belongie",
            year=2017,
            arxiv="1703.06868",
            inputs=("image",),
            tasks=("arbitrary-style-transfer",),
            input=(3, 256, 256),
            parameters=3_505_219,
            macs=47_450_161_152,
            reference="xunhuang1995/AdaIN-style; naoto0804/pytorch-AdaIN",
            differences=("pictures of any size: padded by reflection, and cut",),
            recipe="adain",
        ),
        small={"image_size": 32, "widths": (4, 4, 6, 8)},
        example=_example,
    ),
}
