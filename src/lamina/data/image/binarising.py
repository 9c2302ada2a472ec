"""Binary images from grey ones: by a threshold, or one Bernoulli draw for each pixel from a fixed hash.

Legend: N images, C channels, H height, W width, P values of an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.data.streams import Batch

MULTIPLIERS = (-0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)
"""those of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), as signed numbers"""
BITS = 24
"""of a uniform number, as many as float32 holds"""


def thresholded(images_NCHW: Tensor, value_range: tuple[float, float]) -> Tensor:
    """White from the middle of the range on, else black; the type is unchanged."""
    low, high = value_range
    return _two_values(images_NCHW >= (low + high) / 2, images_NCHW, value_range)


def drawn(images_NCHW: Tensor, value_range: tuple[float, float], keys_N: Tensor | None = None) -> Tensor:
    """White with the probability that a pixel's grey value stands for, else black; the type is unchanged.

    The draw is a hash of (key, position). Without keys the key is a hash of the image itself: an image gets the same
    draw wherever it is met. Black and white stay as they are.
    """
    low, high = value_range
    grey_NP = (images_NCHW.flatten(1).to(torch.float32) - low) / (high - low)
    places_P = torch.arange(grey_NP.shape[1], device=images_NCHW.device)
    if keys_N is None:
        stored = images_NCHW.flatten(1)
        whole_NP = (stored.view(torch.int32) if stored.is_floating_point() else stored).to(torch.int64)
        keys_N = (whole_NP * (_mixed(places_P) | 1)).sum(1)
    bits_NP = _mixed(_mixed(keys_N)[:, None] + places_P)
    uniform_NP = ((bits_NP >> (64 - BITS)) & (2**BITS - 1)).to(torch.float32) / 2**BITS
    return _two_values((uniform_NP < grey_NP).view_as(images_NCHW), images_NCHW, value_range)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An augmentation: other draws in every epoch."""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """{"key": (size,)}: the key of each image."""
        return {"key": torch.randint(2**62, (size,), generator=generator)}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image", from 0 to 1, drawn."""
        image = batch["image"]
        return {**batch, "image": drawn(image, (0.0, 1.0), parameters["key"].to(image.device))}


def _two_values(white: Tensor, like: Tensor, value_range: tuple[float, float]) -> Tensor:
    low, high = (torch.tensor(value, dtype=like.dtype, device=like.device) for value in value_range)
    return torch.where(white, high, low)


def _mixed(numbers: Tensor) -> Tensor:
    """The output function of SplitMix64, int64 to int64."""
    first, second, third = MULTIPLIERS
    mixed: Tensor = numbers + first
    mixed = (mixed ^ _shifted(mixed, 30)) * second
    mixed = (mixed ^ _shifted(mixed, 27)) * third
    out: Tensor = mixed ^ _shifted(mixed, 31)
    return out


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """To the right, zeros moved in."""
    moved: Tensor = (numbers >> bits) & (2 ** (64 - bits) - 1)
    return moved
