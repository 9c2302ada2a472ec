"""Position encodings: vectors added to the token embeddings.

Legend: T positions, C channels; "..." any leading dimensions.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Positions = Literal["learned", "sinusoidal"]
"""The names accepted by configs."""


class SinusoidalPositions(nn.Module):
    """PE(p, 2i) = sin(p / 10000^(2i/C)), PE(p, 2i+1) = cos of the same (Vaswani et al. 2017, arXiv 1706.03762, 3.5).

    Integer positions (..., T) -> (..., T, C). Sines and cosines alternate along the channels, as in the paper
    (tensor2tensor puts all sines first). They are computed at each call: for any position, in the precision of the
    model. Raises ValueError for an odd width.

    >>> SinusoidalPositions(4)(torch.arange(2))
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {width}")
        self.width = width

    def forward(self, positions: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        exact = torch.promote_types(dtype, torch.float32)  # half precision cannot count beyond 2048
        even = torch.arange(0, self.width, 2, device=positions.device, dtype=exact)
        angles = positions[..., None] * torch.exp(even * (-math.log(10000.0) / self.width))
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(dtype)

    def extra_repr(self) -> str:
        return f"width={self.width}"


class LearnedPositions(nn.Embedding):
    """A learned vector for each of ``context`` positions: integers (..., T) below ``context`` -> (..., T, C)."""

    def forward(self, positions: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """``dtype`` is ignored; sinusoidal positions, which have no weights, need it."""
        return super().forward(positions)


def position_layer(name: Positions, context: int, width: int) -> nn.Module:
    """Build the position encoding ``name`` for up to ``context`` positions of ``width`` channels."""
    return LearnedPositions(context, width) if name == "learned" else SinusoidalPositions(width)
