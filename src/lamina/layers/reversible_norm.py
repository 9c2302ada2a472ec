"""Normalisation of each window by itself, undone in the forecast.

``ReversibleNorm`` is RevIN (Kim et al., "Reversible instance normalization for accurate time-series forecasting
against distribution shift", ICLR 2022); ``LastValue`` subtracts the last value (NLinear: Zeng et al., AAAI 2023, arXiv
2205.13504). A level that shifts between training and test shifts the forecast with it.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, Q quantiles.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Normalisation = Literal["none", "last", "revin"]


class WindowScale(NamedTuple):
    """What a window was normalised by."""

    centre_B1C: Tensor
    scale_B1C: Tensor


class ReversibleNorm(nn.Module):
    """x^ = (x - mu) / s * w + b with mean mu and standard deviation s = sqrt(var + eps) of each channel of the window,
    without gradient; back: (y - b) / (w + eps^2) * s + mu. ``affine=False`` leaves w and b out.

    >>> norm = ReversibleNorm(3)
    >>> x_BLC = torch.randn(4, 24, 3) + 100
    >>> normalised, scale = norm(x_BLC)
    >>> torch.allclose(norm.inverse(normalised, scale), x_BLC)
    True
    """

    eps = 1e-5

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x_BLC: Tensor) -> tuple[Tensor, WindowScale]:
        """The normalised window, and what undoes it."""
        with torch.no_grad():
            centre_B1C = x_BLC.mean(1, keepdim=True)
            scale_B1C = torch.sqrt(x_BLC.var(1, keepdim=True, correction=0) + self.eps)
        scale = WindowScale(centre_B1C, scale_B1C)
        return self.normalise(x_BLC, scale), scale

    def normalise(self, x_BLC: Tensor, scale: WindowScale) -> Tensor:
        """Other steps, such as targets, by the scale of a window."""
        x_BLC = (x_BLC - scale.centre_B1C) / scale.scale_B1C
        if self.weight is not None and self.bias is not None:
            x_BLC = x_BLC * self.weight + self.bias
        return x_BLC

    def inverse(self, y: Tensor, scale: WindowScale) -> Tensor:
        """A forecast (B, H, C), or (B, H, C, Q) of quantiles, in the units of the window."""
        if self.weight is not None and self.bias is not None:
            y = (y - _last(self.bias, y)) / (_last(self.weight, y) + self.eps**2)
        return y * _last(scale.scale_B1C, y) + _last(scale.centre_B1C, y)


class LastValue(nn.Module):
    """x - x_L, the last value of each channel; it is added to the forecast again.

    >>> LastValue()(torch.tensor([[[1.0], [3.0]]]))[0].flatten()
    tensor([-2.,  0.])
    """

    def forward(self, x_BLC: Tensor) -> tuple[Tensor, WindowScale]:
        """The window without its level, and what undoes it."""
        last_B1C = x_BLC[:, -1:]
        return x_BLC - last_B1C, WindowScale(last_B1C, torch.ones_like(last_B1C))

    def normalise(self, x_BLC: Tensor, scale: WindowScale) -> Tensor:
        """Other steps, such as targets, by the scale of a window."""
        return x_BLC - scale.centre_B1C

    def inverse(self, y: Tensor, scale: WindowScale) -> Tensor:
        """A forecast (B, H, C), or (B, H, C, Q) of quantiles, on the level of the window."""
        return y + _last(scale.centre_B1C, y)


class AsItIs(nn.Module):
    """No normalisation: the window and the forecast as they are."""

    def forward(self, x_BLC: Tensor) -> tuple[Tensor, WindowScale]:
        """The window itself."""
        last_B1C = x_BLC[:, -1:]
        return x_BLC, WindowScale(torch.zeros_like(last_B1C), torch.ones_like(last_B1C))

    def normalise(self, x_BLC: Tensor, scale: WindowScale) -> Tensor:
        """Other steps as they are."""
        return x_BLC

    def inverse(self, y: Tensor, scale: WindowScale) -> Tensor:
        """The forecast itself."""
        return y


WindowNorm = ReversibleNorm | LastValue | AsItIs


def window_norm(kind: Normalisation, channels: int) -> WindowNorm:
    """The normalisation of this name. Raises ValueError for another.

    >>> type(window_norm("revin", 7)).__name__
    'ReversibleNorm'
    """
    if kind == "revin":
        return ReversibleNorm(channels)
    if kind not in ("last", "none"):
        raise ValueError(f"there is no normalisation '{kind}'; choose from none, last, revin")
    return LastValue() if kind == "last" else AsItIs()


def _last(per_channel: Tensor, y: Tensor) -> Tensor:
    """Values of the channels, shaped to go with a forecast of quantiles, too."""
    return per_channel.unsqueeze(-1) if y.ndim == 4 else per_channel
