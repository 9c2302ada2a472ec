"""Layer normalisation of feature maps: over the channels of each position (ConvNeXt, Swin)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """(B, C, H, W) -> (B, C, H, W), each position normalised over its C channels.

    torch's kernel wants the channels last, so the result lies in memory as channels_last: what follows takes
    (B, H, W, C) without a copy.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
