"""The processing of pictures as a module of tensor operations, for files that take pictures as they are.

Resizing is two products with matrices that depend on the size of the picture alone. They hold the weights of torch's
antialiased bilinear interpolation of bytes in whole numbers, so that the result is the same to the last bit (up to the
engine's own precision: weights are calculated in float64, where it has that).

Legend: B batch, H height, W width, C channels, N a side of the picture, M a side of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lamina.data.image.resizing import Resize, centre

MOST_BITS = 22
"""fractional bits of a weight, which has 16 bits in all: fewer where the largest weight would not fit"""


class PictureInput(nn.Module):
    """Pictures (B, H, W, C) of any size, uint8, as ``ImagePreprocess`` prepares them: (B, C, height, width), float32.

    ``held`` is the size that pictures are brought to by ``mode``, ``size`` that of the centre which the model sees;
    ``scale`` and ``shift`` normalise.
    """

    def __init__(
        self, held: tuple[int, int], size: tuple[int, int], mode: Resize, scale: Tensor, shift: Tensor
    ) -> None:
        super().__init__()
        self.held, self.size, self.mode = held, size, mode
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, picture_BHWC: Tensor) -> Tensor:
        x_BCHW = picture_BHWC.permute(0, 3, 1, 2).to(torch.float32)
        sides = [torch.ones_like(x_BCHW[0, 0, :, 0]).double().sum(), torch.ones_like(x_BCHW[0, 0, 0, :]).double().sum()]
        inner = self._inner(sides)
        starts = [((held - new) / 2).floor() for held, new in zip(self.held, inner, strict=True)]
        if self.mode == "crop":  # (new - held) // 2 pixels are cut before it
            starts = [-((new - held) / 2).floor() for held, new in zip(self.held, inner, strict=True)]
        positions = [torch.arange(x_BCHW.shape[side]).double() for side in (2, 3)]
        across, down = (_weights(positions[i], sides[i], inner[i], starts[i], self.held[i]) for i in (1, 0))
        out_BCHW = _product(_product(x_BCHW, *across).transpose(-2, -1), *down).transpose(-2, -1)
        if self.mode == "pad":
            rows = [torch.arange(held).double() for held in self.held]
            inside = [(row >= start) & (row < start + new) for row, start, new in zip(rows, starts, inner, strict=True)]
            out_BCHW = torch.where(inside[0][:, None] & inside[1], out_BCHW, x_BCHW[:, :, :1, :1])
        assert isinstance(self.scale, Tensor)
        assert isinstance(self.shift, Tensor)
        return torch.addcmul(self.shift, centre(out_BCHW, self.size), self.scale)

    def _inner(self, sides: list[Tensor]) -> list[Tensor]:
        """The height and width that the picture itself is brought to, as ``resizing.resize`` has them."""
        ratios = [held / side for held, side in zip(self.held, sides, strict=True)]
        if self.mode == "stretch":
            return [torch.full_like(side, held) for held, side in zip(self.held, sides, strict=True)]
        if self.mode == "crop":
            factor = torch.maximum(*ratios)
            return [(side * factor).round().clamp_min(held) for held, side in zip(self.held, sides, strict=True)]
        factor = torch.minimum(*ratios).clamp_max(1.0)
        return [(side * factor).round().clamp(1, held) for held, side in zip(self.held, sides, strict=True)]


def _weights(position_N: Tensor, side: Tensor, inner: Tensor, start: Tensor, held: int) -> tuple[Tensor, Tensor]:
    """The weights (M, N) in whole numbers, and 2 to the power of their fractional bits: row m is pixel m - start of the
    ``inner`` ones that ``side`` pixels become; rows outside are zero."""
    row_M = torch.arange(held).double() - start
    inside_M1 = ((row_M >= 0) & (row_M < inner))[:, None]
    weight_MN = _triangles(row_M, position_N, side, inner) * inside_M1
    ends_2 = torch.stack([torch.zeros_like(inner), inner - 1])  # what a crop leaves out counts, too
    largest = torch.maximum(weight_MN.amax((0, 1)), _triangles(ends_2, position_N, side, inner).amax((0, 1)))
    powers = 2.0 ** torch.arange(1, MOST_BITS + 1).double()
    one = 2.0 ** (largest * powers + 0.5 < 2.0**15).double().sum()
    return (weight_MN * one + 0.5).floor() * inside_M1, one


def _triangles(row_M: Tensor, position_N: Tensor, side: Tensor, inner: Tensor) -> Tensor:
    """The weights (M, N) of the pixels around the centre of each row, of sum 1."""
    scale = side / inner
    reach = scale.clamp_min(1.0)
    centre_M1 = (scale * (row_M + 0.5))[:, None]
    first_M1 = (centre_M1 - reach + 0.5).floor().clamp_min(0.0)
    last_M1 = torch.minimum((centre_M1 + reach + 0.5).floor(), side)
    near_MN = (position_N >= first_M1) & (position_N < last_M1)
    weight_MN = (1 - ((position_N + 0.5 - centre_M1) / reach).abs()).clamp_min(0.0) * near_MN
    return weight_MN / weight_MN.sum(1, keepdim=True).clamp_min(1e-9)


def _product(x_BCHN: Tensor, weight_MN: Tensor, one: Tensor) -> Tensor:
    """round(x W^T / one), each byte exact in float32: the weights are taken in two parts of 8 bits."""
    high_MN = (weight_MN / 256).floor()
    low_MN = weight_MN - 256 * high_MN
    high, low = ((x_BCHN @ part.float().T) for part in (high_MN, low_MN))
    scaled = high * (256 / one).float()
    whole = scaled.floor()
    rest = scaled - whole + low * (1 / one).float() + 0.5
    return (whole + rest.floor()).clamp(0, 255)
