"""GAN: two fully connected nets, one that generates samples and one that tells them from real ones.

Paper: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, "Generative adversarial nets", NIPS
2014, arXiv 1406.2661; conditional: Mirza, Osindero, arXiv 1411.1784.
What was new: a generator trained by nothing but the gradient of a second net, which learns beside it to tell samples
from data; at equilibrium the samples are distributed as the data.

Differences from the paper: weights are drawn as torch draws them, z from N(0, 1) (the released code: uniform); the
discriminator gives a logit, not a probability; images lie in [-1, 1], so the generator ends in tanh (the paper:
sigmoid).

Legend: B batch, L latent dimensions, F features of a sample, D width of a layer, P pieces of a maxout unit, K classes.

Reading order: models/gan.py, layers/latent.py, layers/shapes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.latent import LatentGenerator, Prior, discriminators, normalise_spectra, one_hot
from lamina.layers.shapes import expect_features

OUTPUTS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """Options of both players."""

    in_features: int = 784
    """numbers of a sample; images are flattened"""
    in_channels: int = 1
    """image channels"""
    image_size: int | None = None
    """side that images are brought to; none: as they are"""
    latent: int = 100
    """dimensions of z"""
    prior: Prior = "normal"
    """z is drawn from N(0, 1), or uniformly from -1 to 1"""
    classes: int = 0
    """classes that samples are generated for, as many as the data have; 0: unconditional"""
    generator_hidden: tuple[int, ...] = (1200, 1200)
    """widths of the generator's hidden layers, rectified"""
    discriminator_hidden: tuple[int, ...] = (240, 240)
    """widths of the discriminator's hidden layers"""
    discriminator_activation: Literal["maxout", "leaky_relu", "relu"] = "maxout"
    """non-linearity of the discriminator; maxout: the largest of ``pieces`` linear maps"""
    pieces: int = 5
    """linear maps of a maxout unit"""
    dropout: float = 0.5
    """share of the discriminator's hidden units left out in training"""
    discriminators: int = 1
    """number of discriminators, each with weights of its own; the generator faces an ``aggregate`` of the objective"""
    spectral_norm: bool = False
    """divide each weight of the discriminator by its largest singular value"""
    output: Literal["tanh", "sigmoid", "linear"] = "tanh"
    """last non-linearity of the generator (set by the range of the data: -1 to 1, 0 to 1, any)"""

    def __post_init__(self) -> None:
        for name in ("in_features", "in_channels", "image_size", "latent", "pieces", "discriminators"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        for name in ("generator_hidden", "discriminator_hidden"):
            if min(getattr(self, name), default=1) < 1:
                raise ValueError(f"{name}: every width must be at least 1, got {getattr(self, name)}")


class Generator(LatentGenerator):
    """z (B, L) -> samples (B, F): hidden layers of rectified units, then a linear map into the range of the data."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.latent, self.prior, self.classes = config.latent, config.prior, config.classes
        widths = (config.latent + config.classes, *config.generator_hidden)
        self.hidden = _stack(widths, lambda fan_in, D: nn.Sequential(nn.Linear(fan_in, D), nn.ReLU()))
        self.output = nn.Linear(widths[-1], config.in_features)
        self.bound = OUTPUTS[config.output]()

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for z of another size, and for a missing label."""
        x_BF: Tensor = self.bound(self.output(self.hidden(self.inputs(z_BL, label_B))))
        return x_BF


class Discriminator(nn.Module):
    """Samples of F numbers, flattened, -> logits (B, 1), large for real ones."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.classes, self.in_features = config.classes, config.in_features
        kind, pieces, dropout = config.discriminator_activation, config.pieces, config.dropout

        def layer(fan_in: int, D: int) -> nn.Module:
            if kind == "maxout":
                return nn.Sequential(Maxout(fan_in, D, pieces), nn.Dropout(dropout))
            unit = nn.ReLU() if kind == "relu" else nn.LeakyReLU(0.2)
            return nn.Sequential(nn.Linear(fan_in, D), unit, nn.Dropout(dropout))

        widths = (config.in_features + config.classes, *config.discriminator_hidden)
        self.hidden = _stack(widths, layer)
        self.output = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for samples of another size, and for a missing label."""
        x_BF = expect_features(x, self.in_features)
        if self.classes:
            x_BF = torch.cat([x_BF, one_hot(label_B, self.classes, x_BF)], 1)
        logit_B1: Tensor = self.output(self.hidden(x_BF))
        return logit_B1


class Maxout(nn.Module):
    """(B, fan_in) -> (B, D): max_p (W_p x + b_p) (Goodfellow et al., ICML 2013)."""

    def __init__(self, fan_in: int, D: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.linear = pieces, nn.Linear(fan_in, D * pieces)

    def forward(self, x_BF: Tensor) -> Tensor:
        out_BD: Tensor = self.linear(x_BF).unflatten(1, (-1, self.pieces)).amax(2)
        return out_BD


def _stack(widths: Sequence[int], layer: Callable[[int, int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(*(layer(fan_in, D) for fan_in, D in pairwise(widths)))


class GAN(nn.Module):
    """Two players: ``generator`` and ``discriminator``. ``forward`` generates: z (B, L) -> samples (B, F).

    >>> model = lamina.create_model("gan", in_features=2)
    >>> model.generator.sample(3, seed=1).shape, model.discriminator(torch.zeros(5, 2)).shape
    (torch.Size([3, 2]), torch.Size([5, 1]))
    """

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = discriminators(lambda: Discriminator(config), config.discriminators)
        if config.spectral_norm:
            normalise_spectra(self.discriminator)

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        x_BF: Tensor = self.generator(z_BL, label_B)
        return x_BF


def noise_example(config: Any, batch: int) -> dict[str, Tensor]:
    """z, and labels if there are classes."""
    example = {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}
    return example | ({"label_B": torch.arange(batch) % config.classes} if config.classes else {})


def _card(**facts: Any) -> Card:
    return Card(
        paper="Generative adversarial nets",
        authors="Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio",
        year=2014,
        arxiv="1406.2661",
        inputs=("table", "image"),
        tasks=("adversarial",),
        reference="plain functional calls",
        recipe="gan",
        **facts,
    )


PLAYERS = {"generator": noise_example, "discriminator": None}
VARIANTS = {
    "gan": Variant(
        build=GAN,
        config=GANConfig(),
        small={"in_features": 24, "latent": 5, "generator_hidden": (12, 10), "discriminator_hidden": (7, 6)},
        players=PLAYERS,
        card=_card(
            title="Generative adversarial network",
            summary="Two hidden layers of 1,200 rectified units against two of 240 maxout units, as on MNIST.",
            input={"generator": (100,), "discriminator": (784,)},
            parameters={
                "generator": 101 * 1200 + 1201 * 1200 + 1201 * 784,
                "discriminator": 785 * 1200 + 241 * 1200 + 241,
            },
            macs={
                "generator": 100 * 1200 + 1200 * 1200 + 1200 * 784,
                "discriminator": 784 * 1200 + 240 * 1200 + 240,
            },
            differences=("torch's initial weights, z from N(0, 1), tanh for images in [-1, 1]",),
            aliases=("generative-adversarial-network",),
        ),
    ),
    "gan-toy": Variant(
        build=GAN,
        config=GANConfig(
            in_features=2,
            latent=2,
            generator_hidden=(128, 128, 128),
            discriminator_hidden=(128, 128, 128),
            discriminator_activation="relu",
            dropout=0.0,
            output="linear",
        ),
        players=PLAYERS,
        card=_card(
            title="Generative adversarial network for points of the plane",
            summary="Three hidden layers of 128 rectified units in both players, for toy data of two columns.",
            input={"generator": (2,), "discriminator": (2,)},
            parameters={"generator": 33_666, "discriminator": 33_537},
            macs={"generator": 2 * 128 + 2 * 128**2 + 128 * 2, "discriminator": 2 * 128 + 2 * 128**2 + 128},
            differences=("a net for toy data, not the paper's",),
        ),
    ),
}
