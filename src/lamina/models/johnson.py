"""Johnson's transformation network: a style learned once, applied in one pass.

Paper: Johnson, Alahi, Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016,
arXiv 1603.08155.
What was new: a feed-forward net trained on the loss of Gatys et al., a thousand times faster than optimising a picture.

Differences from the paper: instance normalisation (Ulyanov et al. 2016), as in the authors' released models; the paper
has batch normalisation. Up-sampling is nearest-neighbour and a convolution, without the chequers of transposed
convolutions. The output has the scale of the input: ``x + tanh`` is not used, the picture is tanh times ``reach``
(the authors: 150 of 255 grey levels around the mean). ``padding="layer"`` and ``output="linear"`` are pytorch/examples'
TransformerNet, whose weights load.

Legend: B batch, C channels, H height, W width.

Forward:

    x_BCHW = reflect(x_BCHW)              # 40 pixels on each side, to a multiple of 4 (padding="start")
    x_BCHW = down(x_BCHW)                 # 9x9 to 32 channels, 3x3 / 2 to 64, 3x3 / 2 to 128
    x_BCHW = blocks(x_BCHW)               # five residual blocks, unpadded: 2 pixels less on each side in each
    x_BCHW = up(x_BCHW)                   # x2, 3x3 to 64; x2, 3x3 to 32; 9x9 to 3
    return reach * tanh(x_BCHW)           # cut to the size of the input

Reading order: models/johnson.py, layers/instance_statistics.py; helper: layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.instance_statistics import InstanceNorm
from lamina.layers.shapes import expect_image

MARGIN = 40
"""pixels that the unpadded residual blocks take off each side"""


@dataclass(frozen=True, kw_only=True)
class JohnsonConfig:
    """Options of the transformation network."""

    in_channels: int = 3
    """channels of an image"""
    image_size: int = 256
    """height and width that training images are resized to, in pixels"""
    width: int = 32
    """channels of the first convolution"""
    blocks: int = 5
    """residual blocks"""
    padding: Literal["start", "layer"] = "start"
    """start: reflection once, before the first layer, and unpadded residual blocks (the paper); layer: reflection
    before each convolution (pytorch/examples)"""
    output: Literal["tanh", "linear"] = "tanh"
    """activation of the output"""
    reach: float = 2.6
    """factor of tanh: 150 grey levels in standard deviations of ImageNet's pixels"""

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.blocks) < 1:
            raise ValueError("in_channels, width and blocks must be at least 1")
        if not self.reach > 0:
            raise ValueError(f"reach must be greater than 0, got {self.reach}")
        if self.image_size < self.min_size:
            raise ValueError(f"johnson needs images of at least {self.min_size} pixels, got {self.image_size}")

    @property
    def min_size(self) -> int:
        """Smallest image side: reflection needs more pixels than it adds."""
        return int(self.blocks * 8 + 4) if self.padding == "start" else 8


class Residual(nn.Module):
    """Two 3x3 convolutions with instance normalisation, and the input: (B, C, H, W) -> the same, or 4 pixels less."""

    def __init__(self, channels: int, padded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.norm1 = InstanceNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.norm2 = InstanceNorm(channels)
        self.padded = padded

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = F.relu(self.norm1(self.conv1(self.around(x_BCHW))))
        y_BCHW = self.norm2(self.conv2(self.around(y_BCHW)))
        inner_BCHW: Tensor = x_BCHW if self.padded else x_BCHW[:, :, 2:-2, 2:-2]
        return inner_BCHW + y_BCHW

    def around(self, x_BCHW: Tensor) -> Tensor:
        return F.pad(x_BCHW, (1, 1, 1, 1), mode="reflect") if self.padded else x_BCHW


class Convolution(nn.Module):
    """Up-sampling, padding, convolution, normalisation and ReLU, all but the convolution optional."""

    def __init__(
        self, channels: int, width: int, kernel: int, stride: int = 1, *, up: int = 1, last: bool = False, mode: str
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride)
        self.norm = None if last else InstanceNorm(width)
        self.up, self.around, self.mode = up, kernel // 2, mode

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.up > 1:
            x_BCHW = F.interpolate(x_BCHW, scale_factor=self.up, mode="nearest")
        x_BCHW = self.conv(F.pad(x_BCHW, (self.around,) * 4, mode=self.mode))
        return x_BCHW if self.norm is None else F.relu(self.norm(x_BCHW))


class Johnson(nn.Module):
    """Pictures (B, C, H, W) -> pictures of the same size in the style learned; any size from ``min_size`` on.

    >>> model = lamina.create_model("johnson")
    >>> model(torch.zeros(1, 3, 61, 75)).shape
    torch.Size([1, 3, 61, 75])
    """

    def __init__(self, config: JohnsonConfig) -> None:
        super().__init__()
        self.config, self.min_size = config, config.min_size
        c, w = config.in_channels, config.width
        mode = "constant" if config.padding == "start" else "reflect"
        self.down = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=Convolution(c, w, 9, mode=mode),
                conv2=Convolution(w, 2 * w, 3, 2, mode=mode),
                conv3=Convolution(2 * w, 4 * w, 3, 2, mode=mode),
            )
        )
        self.blocks = nn.Sequential(*(Residual(4 * w, config.padding == "layer") for _ in range(config.blocks)))
        self.up = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=Convolution(4 * w, 2 * w, 3, up=2, mode=mode),
                conv2=Convolution(2 * w, w, 3, up=2, mode=mode),
                conv3=Convolution(w, c, 9, last=True, mode=mode),
            )
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raises ValueError for images with the wrong number of channels or smaller than ``min_size``."""
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        height, width = x_BCHW.shape[2], x_BCHW.shape[3]
        margin = 8 * self.config.blocks if self.config.padding == "start" else 0
        right, below = margin + (4 - width % 4) % 4, margin + (4 - height % 4) % 4
        x_BCHW = F.pad(x_BCHW, (margin, right, margin, below), mode="reflect")
        y_BCHW: Tensor = self.up(self.blocks(self.down(x_BCHW)))[:, :, :height, :width]
        return y_BCHW if self.config.output == "linear" else self.config.reach * torch.tanh(y_BCHW)


_CARD = Card(
    title="Johnson's transformation network",
    summary="A feed-forward net that applies one style, trained on perceptual losses.",
    paper="Perceptual losses for real-time style transfer and super-resolution",
    authors="Johnson, Alahi, Fei-Fei",
    year=2016,
    arxiv="1603.08155",
    inputs=("image",),
    tasks=("style-transfer",),
    input=(3, 256, 256),
    parameters=1_679_235,
    macs=12_750_446_592,
    reference="jcjohnson/fast-neural-style; pytorch/examples fast_neural_style",
    differences=(
        "instance normalisation, as in the authors' released models (paper: batch normalisation)",
        "nearest-neighbour up-sampling and convolution (authors: transposed convolution or up-sampling)",
    ),
    recipe="johnson",
)

VARIANTS = {
    "johnson": Variant(build=Johnson, config=JohnsonConfig(), card=_CARD, small={"image_size": 64, "width": 4}),
}
