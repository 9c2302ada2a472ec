"""Layer normalisation of feature maps, over the channels of each position (ConvNeXt, Swin)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """(B, C, H, W) -> (B, C, H, W), each position normalised over its C channels.

    torch's kernel needs the channels last, so the result has the channels_last memory format: permuting it to
    (B, H, W, C) costs no copy.

    >>> ChannelNorm(8)(torch.randn(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
