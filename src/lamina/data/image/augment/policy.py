"""RandAugment and TrivialAugment: operations drawn for each image, each applied to all images that have it.

The operations are those of PIL, as in AutoAugment (Cubuk et al. 2019), on float images with black 0 and white 1.
kornia's own classes of these names draw one operation for a whole batch; here every image has its own, some calculated
by kornia's functions. Rotations and shears are about the centre, with bilinear interpolation and ``fill`` outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lamina.data.streams import Batch
from lamina.errors import UsageError

GEOMETRIC = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
BLENDS = ("colour", "contrast", "brightness", "sharpness")
OPERATIONS = ("identity", "autocontrast", "equalize", "solarize", "posterize", *BLENDS, *GEOMETRIC)
MAX_MAGNITUDE = 10.0


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The maximum strength of each operation."""

    degrees: float
    shear: float
    translate: float
    """share of the image's side"""
    pixels: float
    """pixels, in addition to that share"""
    blend: float
    """colour, contrast, brightness and sharpness are multiplied by 1 plus or minus this"""
    bits: int
    """bits of eight dropped by posterize"""


RAND = Extent(degrees=30, shear=0.3, translate=150 / 331, pixels=0, blend=0.9, bits=4)
WIDE = Extent(degrees=135, shear=0.99, translate=0, pixels=32, blend=0.99, bits=6)


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """``layers`` operations in sequence, of the same strength (Cubuk et al. 2019, arXiv 1909.13719).

    ``magnitude`` is from 0 to 10, the maximum strength; ``std`` is the standard deviation of normal noise on it, drawn
    for each operation (timm's "rand-m9-mstd0.5" is magnitude 9 and std 0.5).

    Example: ``RandAugment(magnitude=9, std=0.5, fill=(0.5, 0.5, 0.5))``
    """

    magnitude: float = 9.0
    layers: int = 2
    std: float = 0.0
    fill: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise UsageError(f"rand_augment must be a magnitude from 0 to {MAX_MAGNITUDE:g}, got {self.magnitude}")

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample and layer "operation" (int64), "strength" from 0 to 1, "sign" (1 or -1)."""
        shape = (size, self.layers)
        noise = torch.randn(shape, generator=generator) * self.std
        strength = ((self.magnitude + noise) / MAX_MAGNITUDE).clamp(0, 1)
        return {**_operations(shape, generator), "strength": strength}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        return {**batch, "image": _applied(batch["image"], parameters, RAND, self.fill)}


@dataclass(frozen=True, kw_only=True)
class TrivialAugment:
    """One operation, its strength uniform over 31 steps from none to full (Müller & Hutter 2021, arXiv 2103.10158)."""

    fill: tuple[float, ...]

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample "operation", "strength" and "sign", (B, 1) each."""
        strength = torch.randint(31, (size, 1), generator=generator) / 30
        return {**_operations((size, 1), generator), "strength": strength}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        return {**batch, "image": _applied(batch["image"], parameters, WIDE, self.fill)}


def _operations(shape: tuple[int, int], generator: torch.Generator) -> Batch:
    return {
        "operation": torch.randint(len(OPERATIONS), shape, generator=generator),
        "sign": torch.randint(2, shape, generator=generator) * 2 - 1,
    }


def _applied(image: Tensor, drawn: Batch, extent: Extent, fill: tuple[float, ...]) -> Tensor:
    # groups are determined on the CPU, where the parameters are, without waiting for the device
    operation, strength, sign = drawn["operation"], drawn["strength"], drawn["sign"]
    for layer in range(operation.shape[1]):
        out = image.clamp(0, 1)  # a copy; rounding may have exceeded the range
        moved = operation[:, layer] >= OPERATIONS.index(GEOMETRIC[0])  # one warp for all of these
        groups = [(name, operation[:, layer] == i) for i, name in enumerate(OPERATIONS) if name not in GEOMETRIC]
        for name, member in [*groups[1:], ("warp", moved)]:
            which = member.nonzero()[:, 0]
            if not len(which):
                continue
            chosen, on_device = (which, layer), which.to(image.device, non_blocking=True)
            amount = (strength[chosen], sign[chosen])
            part = image[on_device]
            if name == "warp":
                changed = warp(part, _matrices(operation[chosen], *amount, extent, part.shape), fill)
            else:
                changed = _colour(name, part, *amount, extent)
            out[on_device] = changed
        image = out
    return image


def _colour(name: str, x: Tensor, strength_B: Tensor, sign_B: Tensor, extent: Extent) -> Tensor:
    from kornia import enhance

    match name:
        case "autocontrast":
            low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
            return torch.where(high > low, (x - low) / (high - low).clamp_min(1e-6), x)
        case "equalize":
            return enhance.equalize(x)  # type: ignore[no-any-return]  # kornia is not typed
        case "solarize":
            threshold = (1 - strength_B).to(x) * 256 / 255  # at strength 0: 256 of 8 bits, above white
            return torch.where(x < threshold.view(-1, 1, 1, 1), x, 1 - x)
        case "posterize":
            kept = 8 - (strength_B * extent.bits).round().to(torch.int64)
            return enhance.posterize(x, kept.to(x.device))  # type: ignore[no-any-return]  # kornia is not typed
    factor_B = (1 + sign_B * strength_B * extent.blend).to(x)
    if name == "sharpness":
        return enhance.sharpness(x, factor_B) if min(x.shape[2:]) > 2 else x
    if name == "brightness":
        return (x * factor_B.view(-1, 1, 1, 1)).clamp_(0, 1)
    grey = _grey(x) if name == "colour" else _grey(x).mean((2, 3), keepdim=True)
    return (grey + factor_B.view(-1, 1, 1, 1) * (x - grey)).clamp_(0, 1)


def _grey(x: Tensor) -> Tensor:
    """PIL's luma of three channels, the mean of other channel counts."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _matrices(operation_B: Tensor, strength_B: Tensor, sign_B: Tensor, extent: Extent, shape: torch.Size) -> Tensor:
    """(B, 2, 3): maps a pixel to its origin, in pixels from the centre."""
    height, width = shape[2:]
    level_B = strength_B * sign_B
    matrix = torch.eye(2, 3).repeat(len(operation_B), 1, 1)
    name_of = OPERATIONS.index
    angle = torch.where(operation_B == name_of("rotate"), level_B * math.radians(extent.degrees), 0.0)
    matrix[:, 0, 0], matrix[:, 1, 1] = angle.cos(), angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    matrix[:, 0, 1] += torch.where(operation_B == name_of("shear-x"), level_B * extent.shear, 0.0)
    matrix[:, 1, 0] += torch.where(operation_B == name_of("shear-y"), level_B * extent.shear, 0.0)
    across, down = (level_B * (extent.translate * side + extent.pixels) for side in (width, height))
    matrix[:, 0, 2] = torch.where(operation_B == name_of("translate-x"), across, 0.0)
    matrix[:, 1, 2] = torch.where(operation_B == name_of("translate-y"), down, 0.0)
    return matrix


def warp(x_BCHW: Tensor, matrix_B23: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Images whose pixel p, relative to the centre, is taken from ``matrix`` (p, 1), bilinearly, with ``fill``
    outside."""
    height, width = x_BCHW.shape[2:]
    scale = torch.tensor([[1.0, height / width, 2 / width], [width / height, 1.0, 2 / height]])
    grid = functional.affine_grid((matrix_B23 * scale).to(x_BCHW), list(x_BCHW.shape), align_corners=False)
    around = x_BCHW.new_tensor(fill).view(1, -1, 1, 1)
    return functional.grid_sample(x_BCHW - around, grid, padding_mode="zeros", align_corners=False) + around
