"""ProGAN: a generator and a discriminator that grow together, from 4 x 4 pixels by doublings.

Paper: Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs for improved quality, stability, and variation", ICLR
2018, arXiv 1710.10196.
What was new: new resolutions are faded in while training goes on; weights scaled when they are used (equalised
rates), each pixel normalised in the generator, the deviation of a batch seen by the discriminator.

Differences from the paper: the objective is one of the task (the variant's: Wasserstein with a gradient penalty and a
drift term); pictures of half the side are means over 2 x 2 pixels, larger ones repeat pixels.

Legend: B batch, L latent dimensions, C channels, S side of the picture, K classes.

Forward of the generator:

    x = normed(leaky(dense(pixel_norm(z))))       # 4 x 4
    x = normed(leaky(conv(x)))
    for each stage:
        x = doubled(x); x = normed(leaky(conv1(x))); x = normed(leaky(conv2(x)))
    return lerp(doubled(to_rgb[stage - 1](x before)), to_rgb[stage](x), fade)

Reading order: models/progan.py, layers/styles/growing.py, layers/styles/equalised.py; helpers: layers/latent.py,
layers/shapes.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.latent import LatentGenerator, Prior
from lamina.layers.styles.equalised import EqualConv, EqualLinear, doubled, leaky, pixel_norm
from lamina.layers.styles.growing import FIRST, Growing, GrowingDiscriminator, widths


@dataclass(frozen=True, kw_only=True)
class ProGANConfig:
    """Options of both players."""

    in_channels: int = 3
    """image channels"""
    image_size: int = 1024
    """side of the largest pictures, a power of two"""
    latent: int = 512
    """dimensions of z"""
    prior: Prior = "normal"
    """z is drawn from N(0, 1), or uniformly from -1 to 1"""
    classes: int = 0
    """classes that pictures are generated for, as many as the data have; 0: unconditional"""
    base: int = 8192
    """maps of side s have 2 * base / s channels, at most ``widest``"""
    widest: int = 512
    """channels of the smallest maps"""
    group: int = 4
    """samples that the deviation is taken over"""
    fade: float = 1.0
    """weight of the largest resolution in a new model; training sets its own"""

    def __post_init__(self) -> None:
        for name in ("in_channels", "latent", "base", "widest", "group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        if not 0 <= self.fade <= 1:
            raise ValueError(f"fade must lie in [0, 1], got {self.fade}")
        _ = self.widths  # raises for a size that is no power of two

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps of 4, 8, ... pixels."""
        return widths(self.image_size, self.base, self.widest)


class Stage(nn.Module):
    """(B, C, S, S) -> (B, C', S, S): two convolutions 3x3, each leaky, each pixel normalised."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(fan_in, fan_out, 3, gain=math.sqrt(2))
        self.conv2 = EqualConv(fan_out, fan_out, 3, gain=math.sqrt(2))

    def forward(self, x_BCSS: Tensor) -> Tensor:
        x_BCSS = pixel_norm(leaky(self.conv1(x_BCSS)))
        return pixel_norm(leaky(self.conv2(x_BCSS)))


class Generator(LatentGenerator, Growing):
    """z (B, L) -> pictures (B, C, S, S) of the present side."""

    def __init__(self, config: ProGANConfig) -> None:
        D = config.widths
        Growing.__init__(self, len(D), config.fade)
        self.latent, self.prior, self.classes = config.latent, config.prior, config.classes
        self.dense = EqualLinear(config.latent + config.classes, D[0] * FIRST**2, gain=math.sqrt(2) / 4)
        self.conv = EqualConv(D[0], D[0], 3, gain=math.sqrt(2))
        self.blocks = nn.ModuleList(Stage(D[stage - 1], D[stage]) for stage in range(1, len(D)))
        self.to_rgb = nn.ModuleList(EqualConv(width, config.in_channels, 1) for width in D)

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for z of another size, and for a missing label."""
        z_BL = pixel_norm(self.inputs(z_BL, label_B))
        x_BCSS = pixel_norm(leaky(self.dense(z_BL).unflatten(1, (-1, FIRST, FIRST))))
        x_BCSS = before = pixel_norm(leaky(self.conv(x_BCSS)))
        for block in self.blocks[: self.at]:
            before, x_BCSS = x_BCSS, block(doubled(x_BCSS))
        out_BCSS: Tensor = self.to_rgb[self.at](x_BCSS)
        if self.fades:
            return self.between(doubled(self.to_rgb[self.at - 1](before)), out_BCSS)
        return out_BCSS


class ProGAN(nn.Module):
    """Two players: ``generator`` and ``discriminator``. ``forward`` generates: z (B, L) -> pictures (B, C, S, S).

    >>> model = lamina.create_model("progan", image_size=32, base=64, latent=8)
    >>> model.generator.sample(2, seed=1).shape, model.discriminator(torch.zeros(4, 3, 32, 32)).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([4, 1]))
    """

    def __init__(self, config: ProGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = GrowingDiscriminator(
            config.in_channels, config.widths, blurs=False, group=config.group, classes=config.classes, fade=config.fade
        )

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        x_BCSS: Tensor = self.generator(z_BL, label_B)
        return x_BCSS


def noise_example(config: Any, batch: int) -> dict[str, Tensor]:
    """z, and labels if there are classes."""
    example = {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}
    return example | ({"label_B": torch.arange(batch) % config.classes} if config.classes else {})


VARIANTS = {
    "progan": Variant(
        build=ProGAN,
        config=ProGANConfig(),
        small={"image_size": 8, "base": 16, "latent": 6, "group": 1, "fade": 0.5},
        players={"generator": noise_example, "discriminator": None},
        card=Card(
            title="ProGAN",
            summary="Grows from 4 to 1,024 pixels by doublings that are faded in.",
            paper="Progressive growing of GANs for improved quality, stability, and variation",
            authors="Karras, Aila, Laine, Lehtinen",
            year=2018,
            arxiv="1710.10196",
            inputs=("image",),
            tasks=("style-adversarial",),
            objective="wasserstein-gp",
            input={"generator": (512,), "discriminator": (3, 1024, 1024)},
            parameters={"generator": 23_086_795, "discriminator": 23_087_249},
            macs={"generator": 42_672_848_896, "discriminator": 42_672_923_136},
            reference="tkarras/progressive_growing_of_gans",
            recipe="progan",
            differences=("the average of the generator has the ramp of this library, not half-lives of images",),
            aliases=("progressive-gan",),
        ),
    )
}
