"""Squeeze-and-excitation: channels weighted by global context (Hu et al. 2018, arXiv 1709.01507)."""

from __future__ import annotations

from torch import Tensor, nn

from lamina.layers.activations import Activation, activation


class SqueezeExcitation(nn.Module):
    """x * s with s = gate(expand(act(reduce(mean of x over H and W)))): (B, C, H, W) -> (B, C, H, W).

    ``reduce`` (to ``squeezed`` channels) and ``expand`` are 1x1 convolutions with bias.

    >>> SqueezeExcitation(channels=64, squeezed=16)(torch.zeros(2, 64, 7, 7)).shape
    torch.Size([2, 64, 7, 7])
    """

    def __init__(self, channels: int, squeezed: int, *, act: Activation = "relu", gate: Activation = "sigmoid") -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = activation(act)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = activation(gate)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        s_BC11: Tensor = x_BCHW.mean((2, 3), keepdim=True)
        s_BC11 = self.gate(self.expand(self.act(self.reduce(s_BC11))))
        return x_BCHW * s_BC11
