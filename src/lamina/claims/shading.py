"""A matrix as an image that is legible on a light and on a dark page."""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.claims.claim import Array
from lamina.report.svg import BETWEEN


def shaded(strength_HW: Tensor) -> Array:
    """An RGBA image (H, W, 4) for ``imshow``: one colour, with the opacity ``strength_HW``, from 0 to 1."""
    pixels_HW4 = torch.empty(*strength_HW.shape, 4, dtype=torch.float64)
    pixels_HW4[..., :3] = torch.tensor([int(BETWEEN[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    pixels_HW4[..., 3] = strength_HW
    pixels: Array = pixels_HW4.numpy()
    return pixels


def by_magnitude(x: Tensor) -> Tensor:
    """A strength for ``shaded`` on a logarithmic scale: 0 for 1e-6 or less, 1 for 1."""
    return 1 + x.clamp_min(1e-6).log10() / 6
