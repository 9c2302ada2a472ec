"""Autoencoders: an input is compressed to a few numbers and restored from them.

Papers: Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313 (2006)
(``autoencoder-2006``); Masci et al., "Stacked convolutional auto-encoders", ICANN 2011; Srivastava, Mansimov,
Salakhutdinov, "Unsupervised learning of video representations using LSTMs", ICML 2015, arXiv 1502.04681.
What was new: a code far smaller than the input, found by a deep net, which keeps more than as many principal components
do; 2006 by pre-training layer by layer, which rectified units and Adam have made unnecessary.

Differences from the paper: no pre-training by restricted Boltzmann machines; torch's initialisation; the convolutional
one learns all layers at once and has strides in place of max-pooling.

Legend: B batch, F input features, L latent dimensions, C channels, S side of an image, T time steps, D features of a
step, H hidden units.

Reading order: models/autoencoder.py, layers/autoencoding.py, layers/recurrent.py; helpers: layers/activations.py,
layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from lamina.layers.recurrent import Recurrent
from lamina.layers.shapes import expect_features


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Options of the fully connected autoencoder."""

    in_features: int = 784
    """number of input features; images are flattened"""
    in_channels: int = 1
    """image channels"""
    image_size: int | None = None
    """side that images are brought to; none: as they are"""
    hidden: tuple[int, ...] = (128,)
    """widths of the encoder's hidden layers, from the input on; the decoder has them in reverse"""
    latent: int = 16
    """numbers of the code"""
    activation: Activation = "relu"
    """non-linearity after each hidden layer; the code and the output are linear"""
    norm: Norm = "none"
    """normalisation before each non-linearity"""
    encoder: str = ""
    """another model, whose embedding replaces the hidden layers of the encoder: resnet18"""

    def __post_init__(self) -> None:
        check_sizes(self, self.hidden)


class Autoencoder(nn.Module):
    """z = W h(x) + b, x^ = decoder(z): inputs (B, F) or (B, C, H, W) -> the same shape.

    Where the values are probabilities, the outputs are their logits: the loss says which.

    >>> model = lamina.create_model("autoencoder", in_features=30, hidden=(20,), latent=4)
    >>> model(torch.zeros(5, 30)).shape, model.encode(torch.zeros(5, 30)).shape
    (torch.Size([5, 30]), torch.Size([5, 4]))
    """

    def __init__(self, config: AutoencoderConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = (
            DenseEncoder(config.in_features, config.hidden, config.activation, config.norm)
            if encoder is None
            else Embedder(encoder, encoder_example(config))
        )
        self.latent = nn.Linear(self.encoder.width, config.latent)
        self.decoder = DenseDecoder(config.latent, config.hidden, config.in_features, config.activation, config.norm)

    def encode(self, x: Tensor) -> Tensor:
        """The code (B, L). Raises ValueError for inputs of another size."""
        expect_features(x, self.config.in_features)
        z_BL: Tensor = self.latent(self.encoder(x))
        return z_BL

    def decode(self, z_BL: Tensor) -> Tensor:
        """Inputs (B, F) from codes, flattened."""
        x_BF: Tensor = self.decoder(z_BL)
        return x_BF

    def embed(self, x: Tensor) -> Tensor:
        """The code (B, L)."""
        return self.encode(x)

    def forward(self, x: Tensor) -> Tensor:
        """The input again, of its shape. Raises ValueError for inputs of another size."""
        return self.decode(self.encode(x)).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class ConvAutoencoderConfig:
    """Options of the convolutional autoencoder."""

    in_channels: int = 1
    """image channels"""
    image_size: int = 32
    """side of the image"""
    widths: tuple[int, ...] = (32, 64, 128)
    """channels after each convolution of stride 2; the decoder has them in reverse"""
    latent: int = 64
    """numbers of the code"""
    activation: Activation = "relu"
    """non-linearity after each layer; the code and the output are linear"""
    norm: Norm = "none"
    """normalisation before each non-linearity"""
    encoder: str = ""
    """another model, whose embedding replaces the convolutions of the encoder: resnet18"""

    def __post_init__(self) -> None:
        check_sizes(self, self.widths)
        if not self.widths:
            raise ValueError("widths must name at least one convolution")


class ConvAutoencoder(nn.Module):
    """Images (B, C, S, S) -> the same, through a code of L numbers.

    >>> model = lamina.create_model("autoencoder-conv", in_channels=3, image_size=64)
    >>> model(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, config: ConvAutoencoderConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        sizes: tuple[int, int, Any] = (config.in_channels, config.image_size, config.widths)
        self.encoder = (
            ConvEncoder(*sizes, config.activation, config.norm)
            if encoder is None
            else Embedder(encoder, encoder_example(config))
        )
        self.latent = nn.Linear(self.encoder.width, config.latent)
        self.decoder = ConvDecoder(
            config.latent, config.widths, config.in_channels, config.image_size, config.activation, config.norm
        )

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """The code (B, L). Raises ValueError for images of another size."""
        z_BL: Tensor = self.latent(self.encoder(x_BCHW))
        return z_BL

    def decode(self, z_BL: Tensor) -> Tensor:
        """Images (B, C, S, S) from codes."""
        x_BCHW: Tensor = self.decoder(z_BL)
        return x_BCHW

    def embed(self, x_BCHW: Tensor) -> Tensor:
        """The code (B, L)."""
        return self.encode(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The images again. Raises ValueError for images of another size."""
        return self.decode(self.encode(x_BCHW))


@dataclass(frozen=True, kw_only=True)
class LSTMAutoencoderConfig:
    """Options of the LSTM autoencoder."""

    in_features: int = 784
    """number of input features: those of all time steps, one step after the other"""
    in_channels: int = 1
    """image channels"""
    image_size: int | None = None
    """side that images are brought to, whose rows are the time steps; none: as they are"""
    steps: int | None = None
    """time steps that the features are divided into; none: the rows of an image, the features one by one of a table"""
    hidden_size: int = 128
    """units of the LSTM that reads, and of the one that writes"""
    latent: int = 32
    """numbers of the code"""

    def __post_init__(self) -> None:
        check_sizes(self, (self.hidden_size, 1 if self.steps is None else self.steps))

    @property
    def time(self) -> int:
        """The number of time steps T."""
        if self.steps is not None:
            return self.steps
        size = self.image_size
        return size if size is not None and self.in_features == self.in_channels * size**2 else self.in_features


class LSTMAutoencoder(nn.Module):
    """A sequence (B, T, D) is read by one LSTM, whose last state becomes the code; another, which sees the code at
    every step, writes it in reverse order. Inputs (B, F), F = T D, or images (B, C, S, S), a row each step -> the same
    shape.

    >>> model = lamina.create_model("autoencoder-lstm", in_features=140, hidden_size=32, latent=8)
    >>> model(torch.zeros(2, 140)).shape
    torch.Size([2, 140])
    """

    def __init__(self, config: LSTMAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.time, self.width = config.time, config.in_features // config.time
        if not self.width:
            raise ValueError(f"steps={self.time}: a series of {config.in_features} values is shorter than that")
        if config.in_features % self.time:
            raise ValueError(f"steps={self.time}: {config.in_features} features cannot be divided into so many")
        self.encoder = Recurrent("lstm", self.width, config.hidden_size, 1)
        self.latent = nn.Linear(config.hidden_size, config.latent)
        self.decoder = Recurrent("lstm", config.latent, config.hidden_size, 1)
        self.output = nn.Linear(config.hidden_size, self.width)

    def encode(self, x: Tensor) -> Tensor:
        """The code (B, L). Raises ValueError for inputs of another size."""
        _, state = self.encoder(self._steps(x))
        z_BL: Tensor = self.latent(state[0][:, -1])
        return z_BL

    def decode(self, z_BL: Tensor) -> Tensor:
        """Sequences (B, F) from codes, flattened step by step."""
        out_BTH, _ = self.decoder(z_BL[:, None].expand(-1, self.time, -1))
        x_BTD: Tensor = self.output(out_BTH).flip(1)
        return x_BTD.flatten(1)

    def embed(self, x: Tensor) -> Tensor:
        """The code (B, L)."""
        return self.encode(x)

    def forward(self, x: Tensor) -> Tensor:
        """The input again, of its shape. Raises ValueError for inputs of another size."""
        x_BF = self.decode(self.encode(x))
        if x.ndim < 4:
            return x_BF.reshape(x.shape)
        return x_BF.reshape(-1, self.time, x.shape[1], x.shape[3]).transpose(1, 2).reshape(x.shape)

    def _steps(self, x: Tensor) -> Tensor:
        """The time steps (B, T, D): rows of an image with their channels, or runs of features."""
        flat_BF = expect_features(x, self.config.in_features)
        rows = x.transpose(1, 2).flatten(1) if x.ndim == 4 else flat_BF
        return rows.reshape(-1, self.time, self.width)


_FLAT = ("table", "image", "series")
_DENSE = "a torch.nn.Sequential built by hand"


def _card(**facts: Any) -> Card:
    return Card(**{"tasks": ("autoencoding", "anomaly"), "inputs": _FLAT, "recipe": "autoencoder", **facts})


_HINTON: dict[str, Any] = {
    "paper": "Reducing the dimensionality of data with neural networks",
    "authors": "Hinton, Salakhutdinov",
    "year": 2006,
    "reference": _DENSE,
}

VARIANTS = {
    "autoencoder": Variant(
        build=Autoencoder,
        config=AutoencoderConfig(),
        parts=encoder_part,
        card=_card(
            title="Autoencoder",
            summary="Fully connected layers to a code of 16 numbers and back; for tables and small images.",
            input=(784,),
            # 784 -> 128 -> 16 -> 128 -> 784
            parameters=785 * 128 + 129 * 16 + 17 * 128 + 129 * 784,
            macs=2 * (784 * 128 + 128 * 16),
            differences=(
                "one hidden layer on each side, rectified; the paper has three, logistic (autoencoder-2006)",
                "no pre-training by restricted Boltzmann machines",
            ),
            aliases=("autoencoder-dense", "dense-autoencoder"),
            **_HINTON,
        ),
    ),
    "autoencoder-2006": Variant(
        build=Autoencoder,
        config=AutoencoderConfig(hidden=(1000, 500, 250), latent=30, activation="sigmoid"),
        small={"in_features": 30, "hidden": (12, 10, 8), "latent": 4},
        parts=encoder_part,
        card=_card(
            title="Deep autoencoder of 2006",
            summary="784-1000-500-250-30 logistic units and their mirror image, untied: the net for MNIST.",
            input=(784,),
            parameters=2_837_314,
            macs=2 * (784 * 1000 + 1000 * 500 + 500 * 250 + 250 * 30),
            differences=(
                "no pre-training by restricted Boltzmann machines: all layers are trained at once from random weights",
                "Adam in place of conjugate gradients",
            ),
            recipe="autoencoder-2006",
            **_HINTON,
        ),
    ),
    "autoencoder-conv": Variant(
        build=ConvAutoencoder,
        config=ConvAutoencoderConfig(),
        small={"widths": (4, 6, 8), "latent": 5},
        parts=encoder_part,
        card=_card(
            title="Convolutional autoencoder",
            summary="Three convolutions of stride 2 to a code of 64 numbers and transposed ones back; for images.",
            paper="Stacked convolutional auto-encoders for hierarchical feature extraction",
            authors="Masci, Meier, Cireşan, Schmidhuber",
            year=2011,
            reference="plain functional calls",
            inputs=("image",),
            tasks=("autoencoding",),
            input=(1, 32, 32),
            # convolutions 1-32-64-128, 2,048 numbers <-> 64, the same back
            parameters=(9 * 32 + 32)
            + (9 * 32 * 64 + 64)
            + (9 * 64 * 128 + 128)
            + 2049 * 64
            + 65 * 2048
            + (9 * 128 * 64 + 64)
            + (9 * 64 * 32 + 32)
            + (9 * 32 + 1),
            macs=2 * (16**2 * 9 * 32 + 8**2 * 9 * 32 * 64 + 4**2 * 9 * 64 * 128 + 2048 * 64),
            differences=(
                "strides in place of max-pooling and its inverse",
                "all layers are trained at once, to a code without spatial extent",
            ),
            aliases=("convolutional-autoencoder", "conv-autoencoder"),
            recipe="autoencoder-conv",
        ),
    ),
    "autoencoder-lstm": Variant(
        build=LSTMAutoencoder,
        config=LSTMAutoencoderConfig(),
        small={"in_features": 36, "image_size": 6, "hidden_size": 6, "latent": 3},
        card=_card(
            title="LSTM autoencoder",
            summary="One LSTM reads a sequence into a code of 32 numbers, another writes it; rows of images, or tables "
            "whose columns are time steps.",
            paper="Unsupervised learning of video representations using LSTMs",
            authors="Srivastava, Mansimov, Salakhutdinov",
            year=2015,
            arxiv="1502.04681",
            reference="a loop of torch.nn.LSTMCell",
            input=(784,),
            # gates of inputs, of states, and two biases; the code; the same with codes as inputs; the output
            parameters=512 * (1 + 128 + 2) + 129 * 32 + 512 * (32 + 128 + 2) + 129,
            macs=784 * 512 * (1 + 128) + 128 * 32 + 784 * 512 * (32 + 128) + 784 * 128,
            differences=(
                "the code is a linear map of the last state; the paper copies the whole state",
                "the decoder sees the code at every step, and never its own output",
            ),
            aliases=("lstm-autoencoder",),
            recipe="autoencoder-lstm",
        ),
    ),
}
