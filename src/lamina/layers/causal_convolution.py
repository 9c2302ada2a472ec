"""Causal convolutions over time: an output depends on the present and the past only.

Bai, Kolter, Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
2018, arXiv 1803.01271; weight normalisation: Salimans, Kingma, NeurIPS 2016, arXiv 1602.07868.

Legend: B batch, C channels in, D channels out, T time steps, k kernel size, d dilation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def receptive_field(kernel_size: int, levels: int) -> int:
    """Steps that an output of ``levels`` residual blocks sees, 1 + 2 (k - 1) (2^n - 1): two convolutions in each, the
    dilation doubled from block to block.

    >>> receptive_field(3, 5), receptive_field(7, 8)
    (125, 3061)
    """
    return 1 + 2 * (kernel_size - 1) * ((1 << levels) - 1)


class CausalConv1d(nn.Module):
    """y_t = sum_i W_i x_(t - d (k - 1 - i)) + b, x = 0 before the start; W = g v / |v|: (B, C, T) -> (B, D, T).

    >>> CausalConv1d(2, 4, kernel_size=3, dilation=2)(torch.zeros(5, 2, 10)).shape
    torch.Size([5, 4, 10])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.padding, self.dilation = (kernel_size - 1) * dilation, dilation
        plain = nn.Conv1d(in_channels, out_channels, kernel_size)  # torch's initialisation
        assert plain.bias is not None
        self.weight_v = nn.Parameter(plain.weight.detach())
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(plain.weight.detach(), dim=(1, 2), keepdim=True))
        self.bias = nn.Parameter(plain.bias.detach())

    def forward(self, x_BCT: Tensor) -> Tensor:
        """The outputs (B, D, T)."""
        norm_D11 = torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)
        weight_DCk = self.weight_v * (self.weight_g / norm_D11)
        return F.conv1d(F.pad(x_BCT, (self.padding, 0)), weight_DCk, self.bias, dilation=self.dilation)


class TemporalBlock(nn.Module):
    """relu(x + two times dropout(relu(causal convolution))), the input mapped by a 1 x 1 convolution where its width
    differs: (B, C, T) -> (B, D, T).

    >>> TemporalBlock(2, 4, kernel_size=3, dilation=2)(torch.zeros(5, 2, 10)).shape
    torch.Size([5, 4, 10])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv1d(in_channels, out_channels, kernel_size, dilation)
        self.conv2 = CausalConv1d(out_channels, out_channels, kernel_size, dilation)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Conv1d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x_BCT: Tensor) -> Tensor:
        """The outputs (B, D, T)."""
        out_BDT = self.dropout(F.relu(self.conv1(x_BCT)))
        out_BDT = self.dropout(F.relu(self.conv2(out_BDT)))
        return F.relu(out_BDT + self.shortcut(x_BCT))
