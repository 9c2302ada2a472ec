"""Operations on the edges of searched cells, by the names of DARTS and NAS-Bench-201.

Legend: B batch, C channels, H height, W width, s stride.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Zero(nn.Module):
    """No connection: zeros (B, C, ceil(H / s), ceil(W / s))."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW[:, :, :: self.stride, :: self.stride] * 0.0

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class FactorizedReduction(nn.Module):
    """ReLU, two 1x1 convolutions of stride 2, one of them shifted by a pixel, side by side, BN: (B, in, H, W) -> (B,
    out, ceil(H / 2), ceil(W / 2)). Odd sizes are padded with a row and column of zeros.

    >>> FactorizedReduction(8, 16)(torch.zeros(1, 8, 32, 33)).shape
    torch.Size([1, 16, 16, 17])
    """

    def __init__(self, in_channels: int, out_channels: int, affine: bool = True) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1 = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.conv2 = nn.Conv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW.relu()
        shifted_BCHW = F.pad(x_BCHW, (0, 1, 0, 1))[:, :, 1:, 1:]
        y_BCHW: Tensor = self.norm(torch.cat([self.conv1(x_BCHW), self.conv2(shifted_BCHW)], 1))
        return y_BCHW


def relu_conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, affine: bool = True
) -> nn.Sequential:
    """ReLU, convolution without bias, BN: (B, in, H, W) -> (B, out, ceil(H / s), ceil(W / s))."""
    return nn.Sequential(
        OrderedDict(
            act=nn.ReLU(),
            conv=nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            norm=nn.BatchNorm2d(out_channels, affine=affine),
        )
    )


def depthwise_unit(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, depthwise and 1x1 convolution, BN."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation=dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def _separable(kernel: int) -> Callable[[int, int, bool], nn.Module]:
    """Twice ReLU, depthwise, 1x1, BN; the first has the stride."""

    def make(channels: int, stride: int, affine: bool) -> nn.Module:
        first = depthwise_unit(channels, kernel, stride, 1, affine)
        return nn.Sequential(*first, *depthwise_unit(channels, kernel, 1, 1, affine))

    return make


def _dilated(kernel: int) -> Callable[[int, int, bool], nn.Module]:
    """ReLU, depthwise with dilation 2, 1x1, BN."""
    return lambda channels, stride, affine: nn.Sequential(*depthwise_unit(channels, kernel, stride, 2, affine))


def _conv(kernel: int) -> Callable[[int, int, bool], nn.Module]:
    return lambda channels, stride, affine: relu_conv_norm(channels, channels, kernel, stride, affine)


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels, affine)


OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda channels, stride, affine: Zero(stride),
    "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda channels, stride, affine: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "nor_conv_1x1": _conv(1),
    "nor_conv_3x3": _conv(3),
}
"""modules (B, C, H, W) -> (B, C, ceil(H / s), ceil(W / s)) by name, from (channels, stride, affine norms)"""


def operation(name: str, channels: int, stride: int = 1, *, affine: bool = True) -> nn.Module:
    """The operation ``name``: (B, C, H, W) -> (B, C, ceil(H / s), ceil(W / s)).

    >>> operation("sep_conv_3x3", 8, stride=2)(torch.zeros(1, 8, 9, 9)).shape
    torch.Size([1, 8, 5, 5])
    """
    return OPERATIONS[name](channels, stride, affine)


class MixedOperation(nn.Module):
    """All operations of an edge at once: (B, C, H, W) -> their weighted sum, or the sum of the chosen ones.

    The norms have no scale of their own, and pools are followed by one, so that no operation can grow by itself.

    >>> edge = MixedOperation(8, ("none", "skip_connect", "sep_conv_3x3"))
    >>> edge(torch.zeros(1, 8, 4, 4), torch.tensor([0.2, 0.3, 0.5])).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, channels: int, operations: tuple[str, ...], stride: int = 1) -> None:
        super().__init__()
        self.operations = nn.ModuleList()
        for name in operations:
            made = operation(name, channels, stride, affine=False)
            pool = "pool" in name
            self.operations.append(nn.Sequential(made, nn.BatchNorm2d(channels, affine=False)) if pool else made)

    def forward(self, x_BCHW: Tensor, weights_O: Tensor) -> Tensor:
        outputs = [weight * one(x_BCHW) for weight, one in zip(weights_O, self.operations, strict=True)]
        return torch.stack(outputs).sum(0) if len(outputs) > 1 else outputs[0]

    def chosen(self, x_BCHW: Tensor, choice: int) -> Tensor:
        """One operation alone."""
        y_BCHW: Tensor = self.operations[choice](x_BCHW)
        return y_BCHW
