"""Convolution, batch normalisation, activation: the unit that most convolutional families repeat."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lamina.layers.activations import Activation, activation

Padding = Literal["symmetric", "tensorflow"]


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)), with
    as little padding as that takes, the odd pixel below and on the right.

    >>> SameConv2d(3, 16, 3, stride=2)(torch.zeros(1, 3, 32, 33)).shape  # rows padded by 0 and 1, columns by 1 and 1
    torch.Size([1, 16, 16, 17])
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(x_BCHW.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x_BCHW, pads))


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    act: Activation | None = "relu",
    eps: float = 1e-5,
    momentum: float = 0.1,
    padding: Padding = "symmetric",
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).

    The convolution is padded by kernel // 2, or as TensorFlow pads. The parts are named ``conv``, ``norm`` and, unless
    ``act`` is None, ``act``.

    >>> conv_norm(3, 16, 3, stride=2)(torch.zeros(1, 3, 33, 33)).shape
    torch.Size([1, 16, 17, 17])
    """
    conv = (
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        if padding == "symmetric"
        else SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
    )
    parts = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum))
    if act is not None:
        unit = activation(act)
        if isinstance(unit, nn.ReLU | nn.ReLU6 | nn.SiLU | nn.Hardswish):
            unit.inplace = True  # nothing else reads the output of the norm, not even its own gradient
        parts["act"] = unit
    return nn.Sequential(parts)


def make_divisible(value: float, divisor: int = 8) -> int:
    """``value`` rounded to a multiple of ``divisor``, at least ``divisor`` and at least 0.9 ``value``, as in the
    released code of MobileNet V2 and EfficientNet: ``make_divisible(0.75 * 32)`` is 24."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
