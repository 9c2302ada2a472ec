"""Weights and inputs that depend on nothing but their name and shape, so that two libraries can be given the same;
how far apart what they make of it is."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor


def weight(name: str, like: Tensor) -> Tensor:
    """A float64 tensor for the entry ``name`` of a state dict; a counter or an index stays as it is.

    Matrices and kernels keep the scale of what passes through them; scales lie near 1, variances in [0.5, 2].
    """
    if not like.is_floating_point():
        return like
    shape = tuple(like.shape)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return torch.rand(shape, generator=generator, dtype=torch.float64) * 1.5 + 0.5
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    size = [length for length in shape if length > 1]
    if len(size) > 1:
        return normal * math.sqrt(1.5 / math.prod(shape[1:]))
    last = name.rpartition(".")[2]
    return 1 + 0.2 * normal if last in ("weight", "gamma", "layer_scale") else 0.1 * normal


def distance(got: Tensor, wanted: Tensor) -> float:
    """max|got - wanted| / max|wanted|; infinite where not finite. Shapes may differ by axes of length 1."""
    got, wanted = got.double().reshape(wanted.shape), wanted.double()
    found = ((got - wanted).abs().max() / wanted.abs().max()).item()
    return found if found == found else float("inf")


def image(batch: int, channels: int, height: int, width: int) -> Tensor:
    """Normal float64 images (batch, channels, height, width), the same at every call."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((batch, channels, height, width), generator=generator, dtype=torch.float64)
