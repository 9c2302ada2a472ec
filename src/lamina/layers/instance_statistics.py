"""Mean and deviation of each channel of each picture, and instance normalisation by them.

Both can be fixed: a picture that is too large for the memory is computed in tiles, with the statistics of the whole.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceStatistics(nn.Module):
    """Maps (B, C, H, W) -> mean and deviation of each channel over its positions, (B, C, 1, 1) each.

    The variance is unbiased, as in AdaIN's reference. ``fixed`` replaces them.
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.fixed: tuple[Tensor, Tensor] | None = None

    def measure(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        variance_BC11, mean_BC11 = torch.var_mean(x_BCHW, dim=(2, 3), keepdim=True)
        return mean_BC11, (variance_BC11 + self.epsilon).sqrt()

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.measure(x_BCHW) if self.fixed is None else self.fixed


class InstanceNorm(nn.Module):
    """Instance normalisation (Ulyanov et al. 2016, arXiv 1607.08022): (B, C, H, W) -> (B, C, H, W), with a scale and a
    shift for each channel unless ``affine`` is false. ``fixed`` replaces the mean and deviation of its input."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, channels: int, epsilon: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.epsilon = epsilon
        self.fixed: tuple[Tensor, Tensor] | None = None

    def measure(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        variance_BC11, mean_BC11 = torch.var_mean(x_BCHW, dim=(2, 3), keepdim=True, correction=0)
        return mean_BC11, (variance_BC11 + self.epsilon).sqrt()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.fixed is None:
            return F.instance_norm(x_BCHW, weight=self.weight, bias=self.bias, eps=self.epsilon)
        mean_BC11, std_BC11 = self.fixed
        x_BCHW = (x_BCHW - mean_BC11) / std_BC11
        if self.weight is None or self.bias is None:
            return x_BCHW
        return x_BCHW * self.weight[:, None, None] + self.bias[:, None, None]
