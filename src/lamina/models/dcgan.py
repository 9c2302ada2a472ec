"""DCGAN: a generator of transposed convolutions against a discriminator of strided ones; also the nets of WGAN.

Papers: Radford, Metz, Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016, arXiv 1511.06434; Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017, arXiv 1701.07875;
Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017, arXiv 1704.00028; conditional: Mirza, Osindero,
arXiv 1411.1784; several discriminators: Durugkar, Gemp, Mahadevan, "Generative multi-adversarial networks", ICLR 2017,
arXiv 1611.01673.
What was new: rules under which convolutional generators train: strides in place of pooling, batch normalisation except
at the picture on both sides, no fully connected hidden layers, ReLU in the generator, leaky ReLU in the discriminator.

Differences from the paper: 4 x 4 kernels, z from N(0, 1) and half the channels of figure 1, as in the released code
(the paper: 5 x 5, U(-1, 1), which is ``prior="uniform"``; ``dcgan-paper`` has the channels). 16 and 28 pixels are
ours. The discriminator gives a logit, not a probability. Classes, if there are any, are one-hot codes beside z and maps
beside the picture.

Legend: B batch, L latent dimensions, C channels, S side of the picture, s side of the smallest maps, K classes.

Reading order: models/dcgan.py, layers/latent.py, layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.latent import LatentGenerator, Prior, discriminators, normalise_spectra, one_hot
from lamina.layers.shapes import expect_image

SLOPE = 0.2
"""of the leaky ReLU"""
STD = 0.02
"""standard deviation of new weights"""
OUTPUTS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """Options of both players."""

    in_channels: int = 3
    """image channels"""
    image_size: int = 64
    """side of the picture; divided by 2 for each width it must stay whole"""
    latent: int = 100
    """dimensions of z"""
    prior: Prior = "normal"
    """z is drawn from N(0, 1), or uniformly from -1 to 1"""
    classes: int = 0
    """classes that pictures are generated for, as many as the data have; 0: unconditional"""
    generator_widths: tuple[int, ...] = (512, 256, 128, 64)
    """channels of the generator's maps, from z on"""
    discriminator_widths: tuple[int, ...] = (64, 128, 256, 512)
    """channels of the discriminator's maps, from the picture on"""
    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    """normalisation in the discriminator; penalties of its gradient need layer or none"""
    discriminators: int = 1
    """number of discriminators, each with weights of its own; the generator faces an ``aggregate`` of the objective"""
    spectral_norm: bool = False
    """divide each weight of the discriminator by its largest singular value"""
    output: Literal["tanh", "sigmoid", "linear"] = "tanh"
    """last non-linearity of the generator (set by the range of the data: -1 to 1, 0 to 1, any)"""

    def __post_init__(self) -> None:
        for name in ("in_channels", "image_size", "latent", "discriminators"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        for name in ("generator_widths", "discriminator_widths"):
            widths = getattr(self, name)
            if not widths or min(widths) < 1:
                raise ValueError(f"{name} must name at least one width of 1 or more, got {widths}")
            if self.image_size % 2 ** len(widths):
                raise ValueError(
                    f"image_size {self.image_size} cannot be halved {len(widths)} times, once for each of {name}: "
                    f"choose a multiple of {2 ** len(widths)}, or other widths"
                )


class Generator(LatentGenerator):
    """z (B, L) -> pictures (B, C, S, S).

    z -> maps of s x s, then twice the side at each transposed convolution 4 x 4 of stride 2, each normalised and
    rectified but the last.
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.latent, self.prior, self.classes = config.latent, config.prior, config.classes
        widths = config.generator_widths
        s = config.image_size // 2 ** len(widths)
        first = nn.ConvTranspose2d(config.latent + config.classes, widths[0], s, bias=False)
        grown = [nn.ConvTranspose2d(fan_in, C, 4, 2, 1, bias=False) for fan_in, C in pairwise(widths)]
        self.stages = nn.Sequential(
            *(nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()) for layer in (first, *grown))
        )
        self.output = nn.ConvTranspose2d(widths[-1], config.in_channels, 4, 2, 1, bias=False)
        self.bound = OUTPUTS[config.output]()

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for z of another size, and for a missing label."""
        maps_BCHW = self.stages(self.inputs(z_BL, label_B)[:, :, None, None])
        x_BCHW: Tensor = self.bound(self.output(maps_BCHW))
        return x_BCHW


class Discriminator(nn.Module):
    """Pictures (B, C, S, S) -> logits (B, 1), large for real ones.

    Half the side at each convolution 4 x 4 of stride 2, each normalised but the first, leaky; then one over all s x s.
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.classes, self.shape = config.classes, (config.in_channels, config.image_size)
        widths = config.discriminator_widths
        stages: list[nn.Module] = []
        for fan_in, C in pairwise((config.in_channels + config.classes, *widths)):
            norm = _norm(config.discriminator_norm if stages else "none", C)
            stages.append(nn.Sequential(nn.Conv2d(fan_in, C, 4, 2, 1, bias=False), norm, nn.LeakyReLU(SLOPE)))
        self.stages = nn.Sequential(*stages)
        self.output = nn.Conv2d(widths[-1], 1, config.image_size // 2 ** len(widths), bias=False)

    def forward(self, x_BCHW: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for pictures of another size, and for a missing label."""
        channels, side = self.shape
        expect_image(x_BCHW, channels, (side, side))
        if self.classes:
            code_BK11 = one_hot(label_B, self.classes, x_BCHW)[:, :, None, None]
            x_BCHW = torch.cat([x_BCHW, code_BK11.expand(-1, -1, side, side)], 1)
        logit_B1: Tensor = self.output(self.stages(x_BCHW)).flatten(1)
        return logit_B1


class DCGAN(nn.Module):
    """Two players: ``generator`` and ``discriminator``. ``forward`` generates: z (B, L) -> pictures (B, C, S, S).

    >>> model = lamina.create_model("dcgan-32", in_channels=1)
    >>> model.generator.sample(2, seed=1).shape, model.discriminator(torch.zeros(5, 1, 32, 32)).shape
    (torch.Size([2, 1, 32, 32]), torch.Size([5, 1]))
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = discriminators(lambda: Discriminator(config), config.discriminators)
        self.apply(_initialise)
        if config.spectral_norm:
            normalise_spectra(self.discriminator)

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        x_BCHW: Tensor = self.generator(z_BL, label_B)
        return x_BCHW


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if kind == "layer" else nn.Identity()  # one group: all values of a sample


def _initialise(module: nn.Module) -> None:
    """Convolutions N(0, 0.02); scales of batch normalisation N(1, 0.02), shifts 0 (the released code)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STD)
        nn.init.zeros_(module.bias)


def noise_example(config: Any, batch: int) -> dict[str, Tensor]:
    """z, and labels if there are classes."""
    example = {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}
    return example | ({"label_B": torch.arange(batch) % config.classes} if config.classes else {})


SMALL = {"image_size": 16, "generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


def _row(config: DCGANConfig, generator: tuple[int, int], discriminator: tuple[int, int], **facts: Any) -> Variant:
    """A row from the parameters and multiply-adds of each player."""
    players = ("generator", "discriminator")
    image = (config.in_channels, config.image_size, config.image_size)
    values: dict[str, Any] = {
        "paper": "Unsupervised representation learning with deep convolutional generative adversarial networks",
        "authors": "Radford, Metz, Chintala",
        "year": 2016,
        "arxiv": "1511.06434",
        "reference": "pytorch/examples: dcgan",
        "recipe": "dcgan",
        "differences": ("4 x 4 kernels and z from N(0, 1), as in the released code; the paper has 5 x 5 and U(-1, 1)",),
        **facts,
    }
    return Variant(
        build=DCGAN,
        config=config,
        small=SMALL,
        players={"generator": noise_example, "discriminator": None},
        card=Card(
            inputs=("image",),
            tasks=("adversarial",),
            input=dict(zip(players, ((config.latent,), image), strict=True)),
            parameters=dict(zip(players, (generator[0], discriminator[0]), strict=True)),
            macs=dict(zip(players, (generator[1], discriminator[1]), strict=True)),
            **values,
        ),
    )


VARIANTS = {
    "dcgan": _row(
        DCGANConfig(),
        (3_576_704, 104_628_224),
        (2_765_568, 103_817_216),
        title="DCGAN",
        summary="Transposed against strided convolutions, 64 pixels, 64 to 512 channels as in the released code.",
        aliases=("dcgan-64",),
    ),
    "dcgan-paper": _row(
        DCGANConfig(generator_widths=(1024, 512, 256, 128), discriminator_widths=(128, 256, 512, 1024)),
        (12_658_432, 410_583_040),
        (11_036_160, 408_961_024),
        title="DCGAN with the widths of the paper's figure",
        summary="64 pixels, 128 to 1,024 channels as in figure 1.",
    ),
    "dcgan-16": _row(
        DCGANConfig(image_size=16, in_channels=1, generator_widths=(128, 64), discriminator_widths=(64, 128)),
        (337_280, 2_367_488),
        (134_400, 2_164_736),
        title="DCGAN for 16 pixels",
        summary="Two stages less than for 64 pixels; grey.",
        differences=("16 pixels are not in the paper", "4 x 4 kernels and z from N(0, 1), as in the released code"),
    ),
    "dcgan-28": _row(
        DCGANConfig(image_size=28, in_channels=1, generator_widths=(256, 128), discriminator_widths=(64, 128)),
        (1_781_504, 27_345_920),
        (138_624, 6_629_504),
        title="DCGAN for 28 pixels",
        summary="z to 7 x 7 maps of 256 channels, twice the side two times; grey.",
        differences=("28 pixels are not in the paper", "4 x 4 kernels and z from N(0, 1), as in the released code"),
    ),
    "dcgan-32": _row(
        DCGANConfig(image_size=32, generator_widths=(256, 128, 64), discriminator_widths=(64, 128, 256)),
        (1_068_928, 17_973_248),
        (663_296, 17_567_744),
        title="DCGAN for 32 pixels",
        summary="One stage less than for 64 pixels.",
    ),
    "dcgan-128": _row(
        DCGANConfig(
            image_size=128, generator_widths=(1024, 512, 256, 128, 64), discriminator_widths=(64, 128, 256, 512, 1024)
        ),
        (12_786_560, 551_092_224),
        (11_164_416, 549_470_208),
        title="DCGAN for 128 pixels",
        summary="One stage more than for 64 pixels.",
    ),
    "wgan": _row(
        DCGANConfig(),
        (3_576_704, 104_628_224),
        (2_765_568, 103_817_216),
        title="Wasserstein GAN",
        summary="DCGAN's nets; the discriminator, a critic with clipped weights, estimates the Wasserstein distance.",
        paper="Wasserstein GAN",
        authors="Arjovsky, Chintala, Bottou",
        year=2017,
        arxiv="1701.07875",
        objective="wasserstein",
        recipe="wgan",
        differences=("always 5 steps of the critic; the released code takes 100 at first and at times",),
    ),
    "wgan-gp": _row(
        DCGANConfig(discriminator_norm="layer"),
        (3_576_704, 104_628_224),
        (2_765_568, 103_817_216),
        title="Wasserstein GAN with gradient penalty",
        summary="DCGAN's nets, layer normalisation in the critic, whose gradient between real and fake has norm 1.",
        paper="Improved training of Wasserstein GANs",
        authors="Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville",
        year=2017,
        arxiv="1704.00028",
        objective="wasserstein-gp",
        recipe="wgan-gp",
        differences=("DCGAN's nets at 64 pixels; the paper's larger nets are residual",),
    ),
    "gman": _row(
        DCGANConfig(
            image_size=32, generator_widths=(256, 128, 64), discriminator_widths=(64, 128, 256), discriminators=5
        ),
        (1_068_928, 17_973_248),
        (5 * 663_296, 5 * 17_567_744),
        title="Generative multi-adversarial network",
        summary="DCGAN for 32 pixels against five discriminators, the stronger of which weigh more.",
        paper="Generative multi-adversarial networks",
        authors="Durugkar, Gemp, Mahadevan",
        year=2017,
        arxiv="1611.01673",
        recipe="gman",
        differences=(
            "the discriminators differ by their initial weights alone; the paper's also by dropout and depth",
            "the sharpness of the weights is fixed; the paper also learns it",
        ),
    ),
}
