"""Encoders and decoders shared by the autoencoders: fully connected ones, and strided convolutions with their mirror.

Legend: B batch, F input features, D width of a layer, C channels, S side of an image, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.layers.activations import activation
from lamina.layers.shapes import expect_features, expect_image

Norm = Literal["none", "batch"]


def check_sizes(config: Any, widths: Sequence[int]) -> None:
    """Raise ValueError for a size below 1 among the widths and the fields of an autoencoder's config."""
    named = {name: getattr(config, name, 1) for name in ("in_features", "in_channels", "latent", "image_size")}
    for name, value in named.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if min(widths, default=1) < 1:
        raise ValueError(f"every width must be at least 1, got {', '.join(map(str, widths))}")


class DenseStack(nn.Sequential):
    """Linear, normalisation, non-linearity for each pair of neighbouring widths: (B, widths[0]) -> (B, widths[-1])."""

    def __init__(self, widths: Sequence[int], kind: str, norm: Norm = "none") -> None:
        super().__init__(
            *(
                nn.Sequential(
                    nn.Linear(fan_in, D), nn.BatchNorm1d(D) if norm == "batch" else nn.Identity(), activation(kind)
                )
                for fan_in, D in pairwise(widths)
            )
        )


class DenseEncoder(nn.Module):
    """Inputs of F features, flattened, -> (B, D). Raises ValueError for inputs that do not hold F features."""

    def __init__(self, in_features: int, hidden: Sequence[int], kind: str, norm: Norm = "none") -> None:
        super().__init__()
        self.in_features, self.width = in_features, (in_features, *hidden)[-1]
        self.layers = DenseStack((in_features, *hidden), kind, norm)

    def forward(self, x: Tensor) -> Tensor:
        out_BD: Tensor = self.layers(expect_features(x, self.in_features))
        return out_BD


class DenseDecoder(nn.Module):
    """(B, L) -> (B, F): the encoder's widths in reverse, the last layer linear."""

    def __init__(self, latent: int, hidden: Sequence[int], out_features: int, kind: str, norm: Norm = "none") -> None:
        super().__init__()
        widths = (latent, *reversed(hidden))
        self.layers = DenseStack(widths, kind, norm)
        self.output = nn.Linear(widths[-1], out_features)

    def forward(self, z_BL: Tensor) -> Tensor:
        out_BF: Tensor = self.output(self.layers(z_BL))
        return out_BF


def sides(image_size: int, stages: int) -> list[int]:
    """The side of the maps before and after each stage of stride 2, rounded up: 28, 14, 7, 4."""
    found = [image_size]
    for _ in range(stages):
        found.append(-(-found[-1] // 2))
    return found


def _block(layer: nn.Module, channels: int, kind: str, norm: Norm) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity(), activation(kind))


class ConvEncoder(nn.Module):
    """Images (B, C, S, S) -> (B, D): a 3 x 3 convolution of stride 2 for each width, flattened.

    Raises ValueError for images of another size.
    """

    def __init__(
        self, in_channels: int, image_size: int, widths: Sequence[int], kind: str, norm: Norm = "none"
    ) -> None:
        super().__init__()
        self.in_channels, self.image_size = in_channels, image_size
        self.width = widths[-1] * sides(image_size, len(widths))[-1] ** 2
        self.stages = nn.Sequential(
            *(
                _block(nn.Conv2d(fan_in, D, 3, stride=2, padding=1), D, kind, norm)
                for fan_in, D in pairwise((in_channels, *widths))
            )
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        expect_image(x_BCHW, self.in_channels, (self.image_size, self.image_size))
        out_BD: Tensor = self.stages(x_BCHW).flatten(1)
        return out_BD


class ConvDecoder(nn.Module):
    """(B, L) -> images (B, out_channels, S, S): a linear layer to the encoder's last maps, then transposed convolutions
    of stride 2, each to the side that the encoder had there; the last one linear."""

    def __init__(
        self, latent: int, widths: Sequence[int], out_channels: int, image_size: int, kind: str, norm: Norm = "none"
    ) -> None:
        super().__init__()
        S = sides(image_size, len(widths))
        self.maps = (widths[-1], S[-1], S[-1])
        self.input = nn.Sequential(nn.Linear(latent, widths[-1] * S[-1] ** 2), activation(kind))
        stages: list[nn.Module] = []
        for stage in reversed(range(len(widths))):
            fan_in, D = widths[stage], out_channels if stage == 0 else widths[stage - 1]
            # (S - 1) 2 - 2 + 3 = 2 S - 1, and one more where the side is even
            grown = nn.ConvTranspose2d(fan_in, D, 3, stride=2, padding=1, output_padding=1 - S[stage] % 2)
            stages.append(_block(grown, D, kind, norm) if stage else grown)
        self.stages = nn.Sequential(*stages)

    def forward(self, z_BL: Tensor) -> Tensor:
        maps_BCHW: Tensor = self.input(z_BL).unflatten(1, self.maps)
        image_BCHW: Tensor = self.stages(maps_BCHW)
        return image_BCHW


class Embedder(nn.Module):
    """The ``embed`` of another model as an encoder: inputs -> (B, D). Raises ValueError for a model without one.

    ``example`` is one input, with a batch of one: the width D is that of its embedding.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        super().__init__()
        if not hasattr(model, "embed"):
            raise ValueError(f"{type(model).__name__} has no method 'embed': it cannot be the encoder")
        self.model = model
        modes = [module for module in model.modules() if module.training]
        model.eval()
        with torch.no_grad():
            out = self(example.to(next(model.parameters()).device))
        for module in modes:
            module.training = True
        self.width: int = out.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        out_BD: Tensor = self.model.embed(x)  # type: ignore[operator] # Module's Any
        return out_BD


def encoder_part(config: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """``Variant.parts`` of a model whose option ``encoder`` may name another: that model without its output layer."""
    if not config.encoder:
        return {}
    sizes = {name: getattr(config, name, None) for name in ("in_channels", "image_size", "in_features")}
    return {"encoder": (config.encoder, {"num_classes": 0, **{k: v for k, v in sizes.items() if v is not None}})}


def encoder_example(config: Any) -> Tensor:
    """One input of the size that the config states, for ``Embedder``."""
    size = config.image_size
    if size is not None:
        return torch.zeros(1, config.in_channels, size, size)
    return torch.zeros(1, config.in_features)
