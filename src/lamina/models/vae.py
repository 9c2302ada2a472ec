"""Variational autoencoder: a code that is a distribution, and a decoder that generates from it.

Papers: Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv 1312.6114; Rezende, Mohamed, Wierstra,
"Stochastic backpropagation", ICML 2014, arXiv 1401.4082; Rybkin, Daniilidis, Levine, "Simple and effective VAE training
with calibrated decoders", ICML 2021, arXiv 2006.13202 (``variance="shared"``).
What was new: the encoder gives a Gaussian q(z|x) = N(mu, sigma^2) for each input; z = mu + sigma epsilon lets the
gradient through, so that encoder and decoder maximise one lower bound of log p(x) together. The prior is N(0, 1).

Differences from the paper: rectified units (the paper: tanh) and Adam (the paper: Adagrad). Log-variances of a learned
Gaussian decoder are bounded from below, smoothly, at -12: a pixel that never varies would otherwise have an infinite
density.

Forward (``Variational.forward``, below):

    latent = self.encode(x)  # q(z|x): a Gaussian
    z_BL = latent.draw() if self.training else latent.mean
    return Restored(self.decode(z_BL), latent)  # p(x|z) in the shape of x

Legend: B batch, F input features, L latent dimensions, C channels, S side of an image.

Reading order: models/vae.py, layers/gaussian.py, layers/autoencoding.py; helpers: layers/activations.py,
layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.activations import Activation
from lamina.layers.autoencoding import (
    ConvDecoder,
    ConvEncoder,
    DenseDecoder,
    DenseEncoder,
    Embedder,
    Norm,
    check_sizes,
    encoder_example,
    encoder_part,
)
from lamina.layers.gaussian import Gaussian
from lamina.layers.shapes import expect_features

Variance = Literal["none", "shared", "each"]
LOWEST = -12.0
"""bound of the decoder's log-variances: a standard deviation of 0.0025"""


class Restored(NamedTuple):
    """What ``forward`` returns: the decoder's output, and q(z|x)."""

    decoded: Tensor | Gaussian
    latent: Gaussian


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Options of the fully connected variational autoencoder."""

    in_features: int = 784
    """number of input features; images are flattened"""
    in_channels: int = 1
    """image channels"""
    image_size: int | None = None
    """side that images are brought to; none: as they are"""
    hidden: tuple[int, ...] = (500, 500)
    """widths of the encoder's hidden layers, from the input on; the decoder has them in reverse"""
    latent: int = 40
    """dimensions of z"""
    activation: Activation = "relu"
    """non-linearity after each hidden layer"""
    norm: Norm = "none"
    """normalisation before each non-linearity"""
    variance: Variance = "none"
    """learned variance of the decoder's Gaussian: none, one shared by all values, or one of each value (set by the
    objective's likelihood)"""
    encoder: str = ""
    """another model, whose embedding replaces the hidden layers of the encoder: resnet18"""

    def __post_init__(self) -> None:
        check_sizes(self, self.hidden)


@dataclass(frozen=True, kw_only=True)
class ConvVAEConfig:
    """Options of the convolutional variational autoencoder."""

    in_channels: int = 1
    """image channels"""
    image_size: int = 32
    """side of the image"""
    widths: tuple[int, ...] = (32, 64, 128)
    """channels after each convolution of stride 2; the decoder has them in reverse"""
    latent: int = 64
    """dimensions of z"""
    activation: Activation = "relu"
    """non-linearity after each layer"""
    norm: Norm = "none"
    """normalisation before each non-linearity"""
    variance: Variance = "none"
    """learned variance of the decoder's Gaussian: none, one shared by all values, or one of each value (set by the
    objective's likelihood)"""
    encoder: str = ""
    """another model, whose embedding replaces the convolutions of the encoder: resnet18"""

    def __post_init__(self) -> None:
        check_sizes(self, self.widths)
        if not self.widths:
            raise ValueError("widths must name at least one convolution")


class Variational(nn.Module):
    """Base class: a subclass sets ``config``, ``encoder`` (with its ``width``) and ``decoder``, then calls
    ``build_heads``."""

    config: Any
    encoder: nn.Module
    decoder: nn.Module

    def build_heads(self, width: int) -> None:
        """The linear maps from the encoder's output (B, width) to mu and log sigma^2, and a shared log-variance."""
        self.mean = nn.Linear(width, self.config.latent)
        self.log_variance = nn.Linear(width, self.config.latent)
        if self.config.variance == "shared":
            self.decoder_log_variance = nn.Parameter(torch.zeros(()))

    @property
    def outputs(self) -> int:
        """Numbers that the decoder gives for each value of the input."""
        return 2 if self.config.variance == "each" else 1

    def encode(self, x: Tensor) -> Gaussian:
        """q(z|x), (B, L) each. Raises ValueError for inputs of another size."""
        h_BD = self.encoder(x)
        return Gaussian(self.mean(h_BD), self.log_variance(h_BD))

    def decode(self, z_BL: Tensor) -> Tensor | Gaussian:
        """p(x|z): logits or means (B, F) or (B, C, S, S); with a learned variance a ``Gaussian`` of them."""
        out: Tensor = self.decoder(z_BL)
        if self.config.variance == "none":
            return out
        if self.config.variance == "shared":
            return Gaussian(out, _bounded(self.decoder_log_variance).expand_as(out))
        mean, log_variance = out.chunk(2, 1)
        return Gaussian(mean, _bounded(log_variance))

    def embed(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), (B, L)."""
        return self.encode(x).mean

    def forward(self, x: Tensor) -> Restored:
        """p(x|z), of the shape of the input, and q(z|x). In training z is drawn from q, in evaluation it is its mean.

        Raises ValueError for inputs of another size.
        """
        latent = self.encode(x)
        decoded = self.decode(latent.draw() if self.training else latent.mean)
        if isinstance(decoded, Gaussian):
            return Restored(Gaussian(*(part.reshape(x.shape) for part in decoded)), latent)
        return Restored(decoded.reshape(x.shape), latent)


def _bounded(log_variance: Tensor) -> Tensor:
    """Bounded below by ``LOWEST``, smoothly (Rybkin et al.: soft clipping)."""
    return LOWEST + F.softplus(log_variance - LOWEST)


class VAE(Variational):
    """Inputs (B, F) or (B, C, H, W) -> ``Restored``.

        h = hidden layers(x); mu, log sigma^2 = linear maps of h; z = mu + sigma epsilon; p(x|z) from hidden layers of z

    >>> model = lamina.create_model("vae", in_features=30, hidden=(20,), latent=4).eval()
    >>> decoded, latent = model(torch.zeros(5, 30))
    >>> decoded.shape, latent.mean.shape
    (torch.Size([5, 30]), torch.Size([5, 4]))
    """

    def __init__(self, config: VAEConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = (
            DenseEncoder(config.in_features, config.hidden, config.activation, config.norm)
            if encoder is None
            else Embedder(encoder, encoder_example(config))
        )
        self.build_heads(self.encoder.width)
        out_features = self.outputs * config.in_features
        self.decoder = DenseDecoder(config.latent, config.hidden, out_features, config.activation, config.norm)

    def encode(self, x: Tensor) -> Gaussian:
        expect_features(x, self.config.in_features)
        return super().encode(x)


class ConvVAE(Variational):
    """Images (B, C, S, S) -> ``Restored``.

    >>> model = lamina.create_model("vae-conv", in_channels=3, image_size=64).eval()
    >>> model(torch.zeros(2, 3, 64, 64)).decoded.shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, config: ConvVAEConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        sizes: tuple[int, int, Any] = (config.in_channels, config.image_size, config.widths)
        self.encoder = (
            ConvEncoder(*sizes, config.activation, config.norm)
            if encoder is None
            else Embedder(encoder, encoder_example(config))
        )
        self.build_heads(self.encoder.width)
        channels = self.outputs * config.in_channels
        self.decoder = ConvDecoder(
            config.latent, config.widths, channels, config.image_size, config.activation, config.norm
        )


def _card(**facts: Any) -> Card:
    return Card(
        paper="Auto-encoding variational Bayes",
        authors="Kingma, Welling",
        year=2014,
        arxiv="1312.6114",
        tasks=("variational",),
        **facts,
    )


VARIANTS = {
    "vae": Variant(
        build=VAE,
        config=VAEConfig(),
        small={"in_features": 24, "hidden": (12, 10), "latent": 4},
        parts=encoder_part,
        card=_card(
            title="Variational autoencoder",
            summary="Two hidden layers of 500 units to a Gaussian code of 40 dimensions and back; generates.",
            inputs=("table", "image"),
            input=(784,),
            # 784 -> 500 -> 500 -> mean and log-variance of 40 -> 500 -> 500 -> 784
            parameters=785 * 500 + 501 * 500 + 2 * 501 * 40 + 41 * 500 + 501 * 500 + 501 * 784,
            macs=784 * 500 + 500 * 500 + 2 * 500 * 40 + 40 * 500 + 500 * 500 + 500 * 784,
            reference="pytorch/examples: vae, with another layer",
            differences=("rectified units and Adam; the paper has tanh and Adagrad, and one hidden layer of 500",),
            recipe="vae",
            aliases=("variational-autoencoder", "beta-vae"),
        ),
    ),
    "vae-400-20": Variant(
        build=VAE,
        config=VAEConfig(hidden=(400,), latent=20),
        small={"in_features": 24, "hidden": (12,), "latent": 4},
        parts=encoder_part,
        card=_card(
            title="Variational autoencoder 784-400-20",
            summary="The variational autoencoder of PyTorch's examples: one hidden layer of 400 units, 20 dimensions.",
            inputs=("table", "image"),
            input=(784,),
            parameters=652_824,
            macs=784 * 400 + 2 * 400 * 20 + 20 * 400 + 400 * 784,
            reference="pytorch/examples: vae",
            differences=("rectified units and Adam, as in PyTorch's examples; the paper has tanh and Adagrad",),
            recipe="vae",
        ),
    ),
    "vae-conv": Variant(
        build=ConvVAE,
        config=ConvVAEConfig(),
        small={"widths": (4, 6, 8), "latent": 5},
        parts=encoder_part,
        card=_card(
            title="Convolutional variational autoencoder",
            summary="Three convolutions of stride 2 to a Gaussian code of 64 dimensions and transposed ones back.",
            inputs=("image",),
            input=(1, 32, 32),
            # convolutions 1-32-64-128, 2,048 numbers to two times 64 and from 64, the same back
            parameters=(9 * 32 + 32)
            + (9 * 32 * 64 + 64)
            + (9 * 64 * 128 + 128)
            + 2 * 2049 * 64
            + 65 * 2048
            + (9 * 128 * 64 + 64)
            + (9 * 64 * 32 + 32)
            + (9 * 32 + 1),
            macs=2 * (16**2 * 9 * 32 + 8**2 * 9 * 32 * 64 + 4**2 * 9 * 64 * 128) + 3 * 2048 * 64,
            reference="plain functional calls",
            differences=("convolutions; the paper's encoder and decoder are fully connected",),
            recipe="vae-conv",
            aliases=("conv-vae", "convolutional-vae"),
        ),
    ),
}
