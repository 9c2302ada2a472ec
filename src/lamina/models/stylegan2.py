"""StyleGAN2: styles that scale the weights of convolutions, no growing.

Paper: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and improving the image quality of StyleGAN",
CVPR 2020, arXiv 1912.04958; few pictures: Karras et al., "Training generative adversarial networks with limited data",
NeurIPS 2020, arXiv 2006.06676.
What was new: instead of normalising maps, weights are modulated by the style and demodulated to unit variance; pictures
of all sizes are added up (skip connections) in place of growing, the discriminator is residual; the length of steps in
w is regularised.

Differences from the paper: plain torch operations, no custom kernels; the average of the generator has the ramp of this
library.

Legend: B batch, L latent dimensions, N layers with a style, W numbers of w, C channels, D width, S side of the picture.

Forward of the generator:

    w = mapping(pixel_norm(z))                           # eight dense layers
    x = layer(constant); picture = to_rgb(x)             # 4 x 4
    for each doubling:
        x = layer2(layer1(x, up)); picture = up(picture) + to_rgb(x)
    # layer: modulated 3x3, + strength * noise, + bias, sqrt(2) leaky

Reading order: models/stylegan2.py, layers/styles/styled.py, layers/styles/equalised.py; helpers:
layers/styles/growing.py (``widths``), layers/latent.py, layers/shapes.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.latent import Prior
from lamina.layers.shapes import expect_image
from lamina.layers.styles.equalised import EPSILON, EqualConv, EqualLinear, fir, leaky, wide, with_deviation
from lamina.layers.styles.growing import FIRST, of_label, widths
from lamina.layers.styles.styled import Mapping, StyledGenerator

TAPS = (1.0, 3.0, 3.0, 1.0)
"""the filter of every change of size"""
GAIN = math.sqrt(2)
"""of the leaky ReLU"""


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config:
    """Options of both players."""

    in_channels: int = 3
    """image channels"""
    image_size: int = 1024
    """side of the pictures, a power of two"""
    latent: int = 512
    """dimensions of z"""
    style: int = 512
    """dimensions of w"""
    mapping_layers: int = 8
    """dense layers from z to w"""
    prior: Prior = "normal"
    """z is drawn from N(0, 1), or uniformly from -1 to 1"""
    classes: int = 0
    """classes that pictures are generated for, as many as the data have; 0: unconditional"""
    base: int = 16384
    """maps of side s have 2 * base / s channels, at most ``widest``"""
    widest: int = 512
    """channels of the smallest maps"""
    mixing: float = 0.9
    """probability that a training sample has the styles of two z"""
    group: int = 4
    """samples that the deviation is taken over"""

    def __post_init__(self) -> None:
        for name in ("in_channels", "latent", "style", "mapping_layers", "base", "widest", "group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        if not 0 <= self.mixing <= 1:
            raise ValueError(f"mixing must lie in [0, 1], got {self.mixing}")
        _ = self.widths  # raises for a size that is no power of two

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps of 4, 8, ... pixels."""
        return widths(self.image_size, self.base, self.widest)


def modulated(
    x_BCSS: Tensor,
    weight_OIKK: Tensor,
    style_BI: Tensor,
    *,
    demodulate: bool = True,
    up: bool = False,
    fused: bool = False,
) -> Tensor:
    """A convolution whose weights are scaled by input channel, w_oik s_i, and with ``demodulate`` divided by
    sqrt(sum_ik (w_oik s_i)^2 + 1e-8); with ``up`` transposed, of twice the side less one row and column of the kernel.

    ``fused`` computes a kernel for each sample; otherwise the maps are scaled, before and after.
    """
    padding, stride = (0, 2) if up else (weight_OIKK.shape[-1] // 2, 1)
    factor_BO = None
    if demodulate:
        squares_OI = wide(weight_OIKK).square().sum((2, 3))
        factor_BO = torch.rsqrt(wide(style_BI).square() @ squares_OI.T + EPSILON).to(x_BCSS.dtype)
    if not fused:
        x_BCSS = x_BCSS * style_BI[:, :, None, None].to(x_BCSS.dtype)
        x_BCSS = (
            F.conv_transpose2d(x_BCSS, weight_OIKK.transpose(0, 1), stride=stride)
            if up
            else F.conv2d(x_BCSS, weight_OIKK, padding=padding)
        )
        return x_BCSS if factor_BO is None else x_BCSS * factor_BO[:, :, None, None]
    B = len(x_BCSS)
    kernels = weight_OIKK * style_BI[:, None, :, None, None]
    if factor_BO is not None:
        kernels = kernels * factor_BO[:, :, None, None, None]
    flat = x_BCSS.reshape(1, -1, *x_BCSS.shape[2:])
    if up:
        kernels = kernels.transpose(1, 2).flatten(0, 1)
        out = F.conv_transpose2d(flat, kernels, stride=stride, groups=B)
    else:
        out = F.conv2d(flat, kernels.flatten(0, 1), padding=padding, groups=B)
    return out.reshape(B, len(weight_OIKK), *out.shape[2:])


class ModulatedConv(nn.Module):
    """(B, fan_in, S, S), w (B, W) -> (B, fan_out, S, S), or twice the side: see ``modulated``."""

    fused = False

    def __init__(self, fan_in: int, fan_out: int, k: int, W: int, *, demodulate: bool = True, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, k, k))
        self.style = EqualLinear(W, fan_in, bias=1.0)
        self.scale = 1 / math.sqrt(fan_in * k * k)
        self.demodulate, self.up = demodulate, up

    def forward(self, x_BCSS: Tensor, w_BW: Tensor) -> Tensor:
        weight, style = self.weight * self.scale, self.style(w_BW)
        x_BCSS = modulated(x_BCSS, weight, style, demodulate=self.demodulate, up=self.up, fused=self.fused)
        return fir(x_BCSS, TAPS, pad=(1, 1), gain=4) if self.up else x_BCSS


class Layer(nn.Module):
    """A modulated convolution 3x3, noise, bias, leaky ReLU."""

    def __init__(self, fan_in: int, fan_out: int, W: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(fan_in, fan_out, 3, W, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x_BCSS: Tensor, w_BW: Tensor, noise: Tensor | None) -> Tensor:
        x_BCSS = self.conv(x_BCSS, w_BW)
        if noise is not None:
            x_BCSS = x_BCSS + self.strength * noise
        return leaky(x_BCSS + self.bias[:, None, None], GAIN)


class ToRGB(nn.Module):
    """Maps -> a picture, by a modulated convolution 1x1 that is not demodulated."""

    def __init__(self, fan_in: int, channels: int, W: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(fan_in, channels, 1, W, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCSS: Tensor, w_BW: Tensor) -> Tensor:
        out: Tensor = self.conv(x_BCSS, w_BW) + self.bias[:, None, None]
        return out


class Generator(StyledGenerator):
    """z (B, L) -> pictures (B, C, S, S). 2 log2(S) - 2 styles, one less noise maps."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        D, W = config.widths, config.style
        self.latent, self.prior, self.classes = config.latent, config.prior, config.classes
        self.mixing = config.mixing
        self.sides = [FIRST << i for i in range(len(D))]
        self.mapping = Mapping(config.latent + config.classes, W, config.mapping_layers, gain=GAIN)
        self.constant = nn.Parameter(torch.randn(D[0], FIRST, FIRST))
        layers = [Layer(D[0], D[0], W)]
        for i in range(1, len(D)):
            layers += [Layer(D[i - 1], D[i], W, up=True), Layer(D[i], D[i], W)]
        self.layers = nn.ModuleList(layers)
        self.to_rgb = nn.ModuleList(ToRGB(width, config.in_channels, W) for width in D)
        self.start_styles(W, self.noise_sides)

    @property
    def style_layers(self) -> int:
        return 2 * len(self.sides)

    @property
    def noise_sides(self) -> list[int]:
        return [FIRST, *(side for side in self.sides[1:] for _ in range(2))]

    def synthesis(self, w_BNW: Tensor, noise: list[Tensor | None]) -> Tensor:
        x_BCSS = self.layers[0](self.constant.repeat(w_BNW.shape[0], 1, 1, 1), w_BNW[:, 0], noise[0])
        picture_BCSS: Tensor = self.to_rgb[0](x_BCSS, w_BNW[:, 1])
        for i in range(1, len(self.sides)):
            for n in (2 * i - 1, 2 * i):
                x_BCSS = self.layers[n](x_BCSS, w_BNW[:, n], noise[n])
            picture_BCSS = fir(picture_BCSS, TAPS, up=2, pad=(2, 1), gain=4)
            picture_BCSS = picture_BCSS + self.to_rgb[i](x_BCSS, w_BNW[:, 2 * i + 1])
        return picture_BCSS


class ResidualBlock(nn.Module):
    """(B, D, S, S) -> (B, D', S/2, S/2): ((3x3, then filtered 3x3 / 2) + filtered 1x1 / 2) / sqrt(2)."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(fan_in, fan_in, 3)
        self.conv2 = EqualConv(fan_in, fan_out, 3, stride=2, padding=0)
        self.skip = EqualConv(fan_in, fan_out, 1, bias=False, stride=2, padding=0)

    def forward(self, x_BDSS: Tensor) -> Tensor:
        y_BDSS = leaky(self.conv1(x_BDSS), GAIN)
        y_BDSS = leaky(self.conv2(fir(y_BDSS, TAPS, pad=(2, 2))), GAIN)
        out: Tensor = (y_BDSS + self.skip(fir(x_BDSS, TAPS, pad=(1, 1)))) / math.sqrt(2)
        return out


class Discriminator(nn.Module):
    """Pictures (B, C, S, S) -> logits (B, 1), large for real ones."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        D = config.widths
        self.shape, self.classes, self.group = (config.in_channels, config.image_size), config.classes, config.group
        self.from_rgb = EqualConv(config.in_channels, D[-1], 1)
        self.blocks = nn.ModuleList(ResidualBlock(D[i], D[i - 1]) for i in range(len(D) - 1, 0, -1))
        self.conv = EqualConv(D[0] + 1, D[0], 3)
        self.dense = EqualLinear(D[0] * FIRST**2, D[0])
        self.output = EqualLinear(D[0], max(config.classes, 1))

    def forward(self, x_BCSS: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for pictures of another size, and for a missing label."""
        channels, side = self.shape
        expect_image(x_BCSS, channels, (side, side))
        y = leaky(self.from_rgb(x_BCSS), GAIN)
        for block in self.blocks:
            y = block(y)
        y = leaky(self.conv(with_deviation(y, self.group)), GAIN)
        logit_BK: Tensor = self.output(leaky(self.dense(y.flatten(1)), GAIN))
        return of_label(logit_BK, label_B, self.classes)


class StyleGAN2(nn.Module):
    """Two players: ``generator`` and ``discriminator``. ``forward`` generates: z (B, L) -> pictures (B, C, S, S).

    >>> model = lamina.create_model("stylegan2", image_size=32, base=64, latent=8, style=8)
    >>> model.generator.sample(2, seed=1, truncation=0.7).shape, model.discriminator(torch.zeros(4, 3, 32, 32)).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([4, 1]))
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.generator, self.discriminator = Generator(config), Discriminator(config)

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        x_BCSS: Tensor = self.generator(z_BL, label_B)
        return x_BCSS


def noise_example(config: Any, batch: int) -> dict[str, Tensor]:
    """z, and labels if there are classes."""
    example = {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}
    return example | ({"label_B": torch.arange(batch) % config.classes} if config.classes else {})


def _row(config: StyleGAN2Config, generator: tuple[int, int], discriminator: tuple[int, int], **facts: Any) -> Variant:
    """A row from the parameters and multiply-adds of each player."""
    image = (config.in_channels, config.image_size, config.image_size)
    return Variant(
        build=StyleGAN2,
        config=config,
        small={"image_size": 8, "base": 16, "latent": 6, "style": 5, "mapping_layers": 2, "group": 1, "mixing": 0.0},
        players={"generator": noise_example, "discriminator": None},
        card=Card(
            paper="Analyzing and improving the image quality of StyleGAN",
            authors="Karras, Laine, Aittala, Hellsten, Lehtinen, Aila",
            year=2020,
            arxiv="1912.04958",
            inputs=("image",),
            tasks=("style-adversarial",),
            objective="non-saturating",
            input={"generator": (config.latent,), "discriminator": image},
            parameters={"generator": generator[0], "discriminator": discriminator[0]},
            macs={"generator": generator[1], "discriminator": discriminator[1]},
            reference="NVlabs/stylegan2; rosinality/stylegan2-pytorch",
            recipe="stylegan2",
            differences=("the average of the generator has the ramp of this library, not half-lives of images",),
            **facts,
        ),
    )


VARIANTS = {
    "stylegan2": _row(
        StyleGAN2Config(),
        (30_370_060, 74_831_050_976),
        (29_012_513, 77_727_809_536),
        title="StyleGAN2",
        summary="Modulated convolutions, skip generator, residual discriminator, 1,024 pixels; configuration F.",
        reported=(
            Reported(
                dataset="FFHQ", metric="FID", value=2.84, source="Karras et al. 2020, table 1", note="50,000 samples"
            ),
        ),
        aliases=("stylegan2-f",),
    ),
    "stylegan2-e": _row(
        StyleGAN2Config(base=8192),
        (24_900_764, 22_528_965_600),
        (24_038_161, 23_468_318_976),
        title="StyleGAN2, configuration E",
        summary="Half the channels of configuration F from 64 pixels on.",
    ),
    "stylegan2-256": _row(
        StyleGAN2Config(image_size=256),
        (30_034_338, 45_253_862_624),
        (28_864_129, 46_780_660_224),
        title="StyleGAN2 for 256 pixels",
        summary="Two doublings less than for 1,024 pixels; configuration F.",
    ),
    "stylegan2-32": _row(
        StyleGAN2Config(image_size=32, base=512, widest=64, latent=64, style=64, mapping_layers=4),
        (272_307, 30_225_888),
        (288_993, 31_432_256),
        title="Small StyleGAN2 for 32 pixels",
        summary="Narrow: at most 64 channels, and 64 numbers in z and w; for small pictures on a CPU.",
    ),
}
