"""StyleGAN: a generator whose layers are steered by styles, grown from 8 x 8 pixels.

Paper: Karras, Laine, Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019, arXiv
1812.04948; adaptive instance normalisation: Huang, Belongie 2017, arXiv 1703.06868.
What was new: z becomes w by a mapping, and w sets the scale and shift of each layer (AdaIN); a learned constant in
place of z at the start; noise in each layer; styles of two z mixed; styles drawn towards their mean (truncation).

Differences from the paper: up-sampling repeats pixels and convolves, at every size (the released code uses transposed
convolutions from 128 pixels on); the average of the generator has the ramp of this library.

Legend: B batch, L latent dimensions, N layers with a style, W numbers of w, C channels, S side of the picture.

Forward of the generator:

    w = mapping(pixel_norm(z))                             # eight dense layers
    x = epilogue(constant); x = epilogue(conv(x))          # 4 x 4
    for each stage:
        x = epilogue(blur(conv1(doubled(x)))); x = epilogue(conv2(x))
    return lerp(doubled(to_rgb[stage - 1](x before)), to_rgb[stage](x), fade)
    # epilogue: x + weight * noise, + bias, leaky, instance normalisation, x * (scale(w) + 1) + shift(w)

Reading order: models/stylegan.py, layers/styles/styled.py, layers/styles/growing.py, layers/styles/equalised.py;
helpers: layers/latent.py, layers/shapes.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.latent import Prior
from lamina.layers.styles.equalised import EPSILON, EqualConv, EqualLinear, blur, doubled, leaky, wide
from lamina.layers.styles.growing import FIRST, Growing, GrowingDiscriminator, widths
from lamina.layers.styles.styled import Mapping, StyledGenerator


@dataclass(frozen=True, kw_only=True)
class StyleGANConfig:
    """Options of both players."""

    in_channels: int = 3
    """image channels"""
    image_size: int = 1024
    """side of the largest pictures, a power of two"""
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
    base: int = 8192
    """maps of side s have 2 * base / s channels, at most ``widest``"""
    widest: int = 512
    """channels of the smallest maps"""
    mixing: float = 0.9
    """probability that a training sample has the styles of two z"""
    group: int = 4
    """samples that the deviation is taken over"""
    fade: float = 1.0
    """weight of the largest resolution in a new model; training sets its own"""

    def __post_init__(self) -> None:
        for name in ("in_channels", "latent", "style", "mapping_layers", "base", "widest", "group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        for name in ("mixing", "fade"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        _ = self.widths  # raises for a size that is no power of two

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps of 4, 8, ... pixels."""
        return widths(self.image_size, self.base, self.widest)


class Epilogue(nn.Module):
    """What follows each convolution: noise, bias, leaky ReLU, and the style."""

    def __init__(self, C: int, W: int) -> None:
        super().__init__()
        self.noise_weight = nn.Parameter(torch.zeros(C))
        self.bias = nn.Parameter(torch.zeros(C))
        self.style = EqualLinear(W, 2 * C)

    def forward(self, x_BCSS: Tensor, w_BW: Tensor, noise: Tensor | None) -> Tensor:
        if noise is not None:
            x_BCSS = x_BCSS + self.noise_weight[:, None, None] * noise
        x_BCSS = leaky(x_BCSS + self.bias[:, None, None])
        return adaptive_norm(x_BCSS, self.style(w_BW))


def adaptive_norm(x_BCSS: Tensor, style_BD: Tensor) -> Tensor:
    """AdaIN: each map with mean 0 and deviation 1, times 1 + the first half of the style, plus the other half."""
    x = wide(x_BCSS)
    x = x - x.mean((2, 3), keepdim=True)
    x = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + EPSILON)
    scale_BC, shift_BC = style_BD.chunk(2, 1)
    out: Tensor = x * (scale_BC + 1)[:, :, None, None] + shift_BC[:, :, None, None]
    return out.to(x_BCSS.dtype)


class Stage(nn.Module):
    """(B, C, S, S) -> (B, C', 2S, 2S): doubled, 3x3, blurred; 3x3; each with its epilogue."""

    def __init__(self, fan_in: int, fan_out: int, W: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(fan_in, fan_out, 3, gain=math.sqrt(2), bias=False)
        self.epilogue1 = Epilogue(fan_out, W)
        self.conv2 = EqualConv(fan_out, fan_out, 3, gain=math.sqrt(2), bias=False)
        self.epilogue2 = Epilogue(fan_out, W)

    def forward(self, x_BCSS: Tensor, w_B2W: Tensor, noise: list[Tensor | None]) -> Tensor:
        x_BCSS = self.epilogue1(blur(self.conv1(doubled(x_BCSS))), w_B2W[:, 0], noise[0])
        out: Tensor = self.epilogue2(self.conv2(x_BCSS), w_B2W[:, 1], noise[1])
        return out


class Generator(StyledGenerator, Growing):
    """z (B, L) -> pictures (B, C, S, S) of the present side; two layers with a style, and noise, for each size."""

    truncated_layers = 8

    def __init__(self, config: StyleGANConfig) -> None:
        D, W = config.widths, config.style
        Growing.__init__(self, len(D), config.fade)
        self.latent, self.prior, self.classes = config.latent, config.prior, config.classes
        self.mixing = config.mixing
        self.mapping = Mapping(config.latent + config.classes, W, config.mapping_layers)
        self.constant = nn.Parameter(torch.ones(D[0], FIRST, FIRST))
        self.epilogue1 = Epilogue(D[0], W)
        self.conv = EqualConv(D[0], D[0], 3, gain=math.sqrt(2), bias=False)
        self.epilogue2 = Epilogue(D[0], W)
        self.blocks = nn.ModuleList(Stage(D[stage - 1], D[stage], W) for stage in range(1, len(D)))
        self.to_rgb = nn.ModuleList(EqualConv(width, config.in_channels, 1) for width in D)
        self.start_styles(W, [FIRST << stage for stage in range(len(D)) for _ in range(2)])

    @property
    def style_layers(self) -> int:
        return 2 * (self.at + 1)

    @property
    def noise_sides(self) -> list[int]:
        return [FIRST << stage for stage in range(self.at + 1) for _ in range(2)]

    def synthesis(self, w_BNW: Tensor, noise: list[Tensor | None]) -> Tensor:
        x_BCSS = self.constant.repeat(w_BNW.shape[0], 1, 1, 1)
        x_BCSS = self.epilogue1(x_BCSS, w_BNW[:, 0], noise[0])
        x_BCSS = before = self.epilogue2(self.conv(x_BCSS), w_BNW[:, 1], noise[1])
        for i, block in enumerate(self.blocks[: self.at], 1):
            before, x_BCSS = x_BCSS, block(x_BCSS, w_BNW[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        out_BCSS: Tensor = self.to_rgb[self.at](x_BCSS)
        if self.fades:
            return self.between(doubled(self.to_rgb[self.at - 1](before)), out_BCSS)
        return out_BCSS


class StyleGAN(nn.Module):
    """Two players: ``generator`` and ``discriminator``. ``forward`` generates: z (B, L) -> pictures (B, C, S, S).

    >>> model = lamina.create_model("stylegan", image_size=32, base=64, latent=8, style=8)
    >>> model.generator.sample(2, seed=1, truncation=0.7).shape, model.discriminator(torch.zeros(4, 3, 32, 32)).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([4, 1]))
    """

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = GrowingDiscriminator(
            config.in_channels, config.widths, blurs=True, group=config.group, classes=config.classes, fade=config.fade
        )

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        x_BCSS: Tensor = self.generator(z_BL, label_B)
        return x_BCSS


def noise_example(config: Any, batch: int) -> dict[str, Tensor]:
    """z, and labels if there are classes."""
    example = {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}
    return example | ({"label_B": torch.arange(batch) % config.classes} if config.classes else {})


def _row(config: StyleGANConfig, generator: tuple[int, int], discriminator: tuple[int, int], **facts: Any) -> Variant:
    """A row from the parameters and multiply-adds of each player."""
    image = (config.in_channels, config.image_size, config.image_size)
    return Variant(
        build=StyleGAN,
        config=config,
        small={
            "image_size": 8,
            "base": 16,
            "latent": 6,
            "style": 5,
            "mapping_layers": 2,
            "group": 1,
            "fade": 0.5,
            "mixing": 0.0,
        },
        players={"generator": noise_example, "discriminator": None},
        card=Card(
            paper="A style-based generator architecture for generative adversarial networks",
            authors="Karras, Laine, Aila",
            year=2019,
            arxiv="1812.04948",
            inputs=("image",),
            tasks=("style-adversarial",),
            objective="non-saturating",
            input={"generator": (config.latent,), "discriminator": image},
            parameters={"generator": generator[0], "discriminator": discriminator[0]},
            macs={"generator": generator[1], "discriminator": discriminator[1]},
            reference="NVlabs/stylegan",
            recipe="stylegan",
            differences=(
                "pixels are repeated and convolved at every size (released code: transposed from 128 pixels on)",
                "the average of the generator has the ramp of this library, not half-lives of images",
            ),
            **facts,
        ),
    )


VARIANTS = {
    "stylegan": _row(
        StyleGANConfig(),
        (26_219_627, 42_875_789_312),
        (23_087_249, 42_872_750_592),
        title="StyleGAN",
        summary="Styles by AdaIN, grown from 8 to 1,024 pixels.",
        reported=(
            Reported(
                dataset="FFHQ", metric="FID", value=4.40, source="Karras et al. 2019, table 1", note="50,000 samples"
            ),
        ),
    ),
    "stylegan-256": _row(
        StyleGANConfig(image_size=256),
        (26_086_229, 28_191_236_096),
        (23_052_353, 28_188_295_680),
        title="StyleGAN for 256 pixels",
        summary="Two doublings less than for 1,024 pixels.",
    ),
    "stylegan-32": _row(
        StyleGANConfig(image_size=32, base=512, widest=64, latent=64, style=64, mapping_layers=4),
        (289_452, 53_001_216),
        (279_521, 53_002_304),
        title="Small StyleGAN for 32 pixels",
        summary="Narrow: at most 64 channels, and 64 numbers in z and w; for small pictures on a CPU.",
    ),
}
