"""Random changes of what a discriminator sees, real or generated, so that few pictures are not learnt by heart.

Karras et al., "Training generative adversarial networks with limited data", NeurIPS 2020, arXiv 2006.06676: each change
is made with probability p, below 1, so that the generator does not learn it; p follows the share of real pictures that
the discriminator takes for real. A fixed p is DiffAugment (Zhao et al. 2020, arXiv 2006.10738). All are differentiable.

Legend: B batch, C channels, S side of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125
"""largest shift by whole pixels, as a share of the side"""
ZOOM = 0.2
"""deviation of log2 of a change of scale"""


def augmented(x_BCSS: Tensor, p: float) -> Tensor:
    """Each picture mirrored, turned by a multiple of 90 degrees, shifted, scaled, turned; brighter, of other contrast,
    and, in colour, of another saturation, each with probability p. Draws from torch's default generator."""
    if not p:
        return x_BCSS
    x_BCSS = _moved(x_BCSS, _matrices(x_BCSS, p))
    return _recoloured(x_BCSS, p)


def _chosen(B: int, p: float, like: Tensor) -> Tensor:
    return torch.rand(B, device=like.device) < p


def _matrices(x: Tensor, p: float) -> Tensor:
    """The place in a picture that each place of the changed one is taken from, (B, 2, 3), in units of half a side."""
    B, S = len(x), x.shape[-1]
    like: dict[str, Any] = {"device": x.device, "dtype": torch.float32}
    off = torch.zeros(B, **like)
    matrix = torch.eye(3, **like).repeat(B, 1, 1)

    def then(a: Tensor, b: Tensor, tx: Tensor, c: Tensor, d: Tensor, ty: Tensor) -> None:
        nonlocal matrix
        last = torch.tensor([0.0, 0.0, 1.0], **like).expand(B, 3)
        matrix = torch.stack([torch.stack([a, b, tx], 1), torch.stack([c, d, ty], 1), last], 1) @ matrix

    one = torch.ones(B, **like)
    then(torch.where(_chosen(B, 0.5, x) & _chosen(B, p, x), -one, one), off, off, off, one, off)
    quarter = torch.where(_chosen(B, p, x), torch.randint(4, (B,), device=x.device), 0) * (math.pi / 2)
    then(quarter.cos(), -quarter.sin(), off, quarter.sin(), quarter.cos(), off)
    most = int(SHIFT * S)
    pixels = torch.randint(-most, most + 1, (2, B), device=x.device) * (2 / S) * _chosen(B, p, x)
    then(one, off, pixels[0], off, one, pixels[1])
    scale = torch.where(_chosen(B, p, x), torch.exp2(torch.randn(B, **like) * ZOOM), one)
    then(scale, off, off, off, scale, off)
    angle = torch.where(_chosen(B, p, x), (torch.rand(B, **like) * 2 - 1) * math.pi, off)
    then(angle.cos(), -angle.sin(), off, angle.sin(), angle.cos(), off)
    first_B23: Tensor = matrix[:, :2]
    return first_B23


def _moved(x_BCSS: Tensor, matrix_B23: Tensor) -> Tensor:
    """Bilinear, mirrored at the borders; the same picture where the matrix is the identity."""
    grid = F.affine_grid(matrix_B23, list(x_BCSS.shape), align_corners=False).to(x_BCSS.dtype)
    return F.grid_sample(x_BCSS, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recoloured(x_BCSS: Tensor, p: float) -> Tensor:
    B, C = x_BCSS.shape[:2]

    def drawn(deviation: float) -> Tensor:
        values = torch.randn(B, device=x_BCSS.device) * deviation * _chosen(B, p, x_BCSS)
        return values.to(x_BCSS.dtype)[:, None, None, None]

    x_BCSS = (x_BCSS + drawn(0.2)) * torch.exp2(drawn(0.5))
    if C == 3:
        grey = x_BCSS.mean(1, keepdim=True)
        x_BCSS = grey + (x_BCSS - grey) * torch.exp2(drawn(1.0))
    return x_BCSS


class AdaptiveProbability:
    """p, moved so that the mean sign of D at real pictures stays near ``target``: from 0 to 1 in ``images`` pictures.

    >>> p = AdaptiveProbability(target=0.6, images=1000)
    >>> p.follow(1.0, 100); round(p.value, 3)
    0.1
    """

    def __init__(self, target: float, images: int, start: float = 0.0) -> None:
        self.target, self.images, self.value = target, images, start

    def follow(self, sign: float, images: int) -> None:
        """After ``images`` pictures whose mean sign of D was ``sign``."""
        if self.target:
            self.value += math.copysign(images / self.images, sign - self.target)
            self.value = min(1.0, max(0.0, self.value))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def cumulated(lengths: Sequence[int]) -> list[int]:
    """Where each of some lengths begins: ``cumulated([3, 5, 2])`` is [0, 3, 8]."""
    return [sum(lengths[:i]) for i in range(len(lengths))]
