"""Layers of ProGAN and the StyleGANs: weights N(0, 1) that are scaled when they are used ("equalised" rates).

A weight w of a layer of fan-in n acts as w * gain * rate / sqrt(n): its update is as large, relative to the weight, in
every layer (Karras et al. 2018, arXiv 1710.10196, section 4.1). ``rate`` is the layer's factor on the learning rate:
the weight is stored divided by it.

Legend: B batch, C channels, H height, W width, G samples of a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""of the leaky ReLU"""
EPSILON = 1e-8


def wide(x: Tensor) -> Tensor:
    """At least float32: sums of squares overflow, or vanish beside epsilon, in less."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def leaky(x: Tensor, gain: float = 1.0) -> Tensor:
    """Leaky ReLU of slope 0.2, times ``gain``."""
    out = F.leaky_relu(x, SLOPE)
    return out * gain if gain != 1 else out


def pixel_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean_c x^2 + 1e-8), over dimension 1."""
    wide_x = wide(x)
    normed: Tensor = wide_x * torch.rsqrt(wide_x.square().mean(1, keepdim=True) + EPSILON)
    return normed.to(x.dtype)


class EqualLinear(nn.Module):
    """(..., fan_in) -> (..., fan_out), without a non-linearity."""

    def __init__(self, fan_in: int, fan_out: int, *, gain: float = 1.0, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in) / rate)
        self.bias = nn.Parameter(torch.full((fan_out,), bias / rate))
        self.scale, self.rate = gain * rate / math.sqrt(fan_in), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution k x k (B, fan_in, H, W) -> (B, fan_out, H', W'), padded to keep the size unless told otherwise."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        k: int,
        *,
        gain: float = 1.0,
        bias: bool = True,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, k, k))
        self.bias = nn.Parameter(torch.zeros(fan_out)) if bias else None
        self.scale = gain / math.sqrt(fan_in * k * k)
        self.stride, self.padding = stride, k // 2 if padding is None else padding

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight * self.scale, self.bias, self.stride, self.padding)


def fir(
    x_BCHW: Tensor, taps: Sequence[float], *, up: int = 1, down: int = 1, pad: tuple[int, int], gain: float = 1.0
) -> Tensor:
    """Each channel ``up`` times larger (zeros between the values), padded by zeros before and after, convolved with the
    outer product of ``taps``, whose sum is brought to ``gain``, and every ``down``-th value kept."""
    scale = math.sqrt(gain) / sum(taps)
    taps_K = tuple(tap * scale for tap in reversed(taps))
    options = (taps_K, up, down, (*pad, *pad))
    if torch.is_grad_enabled() and x_BCHW.requires_grad and not torch.compiler.is_compiling():
        out: Tensor = _Filter.apply(x_BCHW, *options)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return out
    return _filtered(x_BCHW, *options)


def _filtered(x_BCHW: Tensor, taps: tuple[float, ...], up: int, down: int, pads: tuple[int, int, int, int]) -> Tensor:
    """``taps`` as a convolution of torch takes them; ``pads`` are left, right, above, below."""
    B, C, H, W = x_BCHW.shape
    if up > 1:
        spread = x_BCHW.new_zeros(B, C, H, up, W, up)
        spread[:, :, :, 0, :, 0] = x_BCHW
        x_BCHW = spread.reshape(B, C, H * up, W * up)
    taps_K = torch.tensor(taps, dtype=x_BCHW.dtype, device=x_BCHW.device)
    x_BCHW = F.pad(x_BCHW, pads)
    rows = F.conv2d(x_BCHW, taps_K[None, None, :, None].expand(C, -1, -1, -1), stride=(down, 1), groups=C)
    return F.conv2d(rows, taps_K[None, None, None, :].expand(C, -1, -1, -1), stride=(1, down), groups=C)


class _Filter(torch.autograd.Function):
    """``_filtered``, whose gradient is a filter, too: the taps turned round, ``up`` and ``down`` exchanged.

    The gradient of torch's own convolution of each channel is slow to differentiate again, as R1 does.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, taps: tuple[float, ...], up: int, down: int, pads: tuple[int, int, int, int]
    ) -> Tensor:
        ctx.sides, ctx.options = x_BCHW.shape[2:], (taps, up, down, pads)
        return _filtered(x_BCHW, taps, up, down, pads)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (slope_BCHW,) = slopes
        taps, up, down, pads = ctx.options
        found: list[int] = []
        for side, out, before in zip(ctx.sides[::-1], slope_BCHW.shape[:1:-1], pads[::2], strict=True):
            first = len(taps) - 1 - before
            found += [first, (side - 1) * up + len(taps) - out * down - first]
        x_BCHW: Tensor = _Filter.apply(slope_BCHW, taps[::-1], down, up, tuple(found))  # type: ignore[no-untyped-call]
        return x_BCHW, None, None, None, None


def blur(x_BCHW: Tensor) -> Tensor:
    """The size kept, with the filter [1, 2, 1]."""
    return fir(x_BCHW, (1, 2, 1), pad=(1, 1))


def doubled(x_BCHW: Tensor) -> Tensor:
    """Twice the side: each pixel four times."""
    return F.interpolate(x_BCHW, scale_factor=2, mode="nearest")


def halved(x_BCHW: Tensor) -> Tensor:
    """Half the side: means over 2 x 2 pixels."""
    return F.avg_pool2d(x_BCHW, 2)


def with_deviation(x_BCHW: Tensor, group: int = 4) -> Tensor:
    """(B, C, H, W) -> (B, C + 1, H, W): beside the maps how much samples differ, a number for each group.

    The deviation of each value over ``group`` samples (biased, sqrt(var + 1e-8)), averaged over all values. A batch
    that ``group`` does not divide has groups of the largest size below that does.
    """
    B, _, H, W = x_BCHW.shape
    G = next(size for size in range(min(group, B), 0, -1) if B % size == 0)
    y_GMCHW = wide(x_BCHW).reshape(G, B // G, *x_BCHW.shape[1:])
    deviation_M = (y_GMCHW.var(0, correction=0) + EPSILON).sqrt().flatten(1).mean(1)
    extra_B1HW = deviation_M.to(x_BCHW.dtype).repeat(G)[:, None, None, None].expand(-1, 1, H, W)
    return torch.cat([x_BCHW, extra_B1HW], 1)
