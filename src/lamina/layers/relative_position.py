"""Relative position bias: a learned number per head and per offset between two positions of a window.

Relative attention was introduced by Shaw et al. 2018 (arXiv 1803.02155); this form, a bias added to the scores, is that
of Swin (Liu et al. 2021, arXiv 2103.14030) and CoAtNet (Dai et al. 2021, arXiv 2106.04803).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Module):
    """The B of softmax(q k^T / sqrt(d) + B) in a window of ``height`` x ``width`` positions, T = height * width in all,
    counted row by row.

    ``table``, ((2 height - 1)(2 width - 1), heads), holds one row per offset (query - key), sorted by vertical and then
    horizontal offset; it is initialised from a normal distribution of standard deviation 0.02, truncated at +-2.
    ``index`` (T, T) holds the table row of each pair.

    >>> RelativePositionBias(height=7, width=7, heads=3)().shape
    torch.Size([3, 49, 49])
    """

    index: Tensor

    def __init__(self, height: int, width: int, heads: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.table = nn.Parameter(torch.empty((2 * height - 1) * (2 * width - 1), heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        row_T = torch.arange(height).repeat_interleave(width)
        column_T = torch.arange(width).repeat(height)
        down_TT = row_T[:, None] - row_T + height - 1  # 0 ... 2 height - 2
        right_TT = column_T[:, None] - column_T + width - 1
        self.register_buffer("index", down_TT * (2 * width - 1) + right_TT, persistent=False)

    def forward(self) -> Tensor:
        """The bias of every head and pair, (heads, T, T): query, then key."""
        return self.table[self.index].permute(2, 0, 1).contiguous()  # the fast attention kernels require this layout

    def extra_repr(self) -> str:
        return f"height={self.height}, width={self.width}, heads={self.table.shape[1]}"
