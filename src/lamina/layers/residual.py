"""Residual blocks, those of ImageNet and of CIFAR: H(x) = F(x) + x (He et al. 2016, arXiv 1512.03385 and 1603.05027).

ReLU and the sum work in place, on tensors that the block made itself: a block never writes into its input.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lamina.layers.image_classifier import check_min_size, check_options, global_average_pool
from lamina.layers.stochastic_depth import StochasticDepth, rising_rates

Shortcut = Literal["A", "B", "C"]
"""The paper's kinds of shortcut. A: the identity, subsampled and with channels of zeros where the shape changes. B: a
projection there, the identity elsewhere. C: projections everywhere."""


class ZeroPadShortcut(nn.Module):
    """Option A: every ``stride``-th position, zeros as new channels; it has no parameters.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)). Half of the new channels stand before the old ones
    and half behind them, as in the PyTorch code whose CIFAR weights are in use; the Torch original puts all behind. The
    two differ in nothing but the order of channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"shortcut 'A' adds channels and cannot go from {in_channels} to {out_channels}")
        before = (out_channels - in_channels) // 2
        self.stride, self.pad = stride, (before, out_channels - in_channels - before)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.pad(x_BCHW[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.pad))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, pad={self.pad}"


class ResidualBlock(nn.Module):
    """relu(branch(x) + shortcut(x)), (B, C, H, W) -> (B, C', H', W'); without a shortcut relu(branch(x))."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None, rate: float) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut
        self.drop = StochasticDepth(rate)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out_BCHW: Tensor = self.drop(self.branch(x_BCHW))
        if self.shortcut is not None:
            out_BCHW += self.shortcut(x_BCHW)
        activated_BCHW: Tensor = self.act(out_BCHW)
        return activated_BCHW


class PreactivationBlock(nn.Module):
    """branch(a) + x with a = relu(norm(x)): no activation on the shortcut's way (1603.05027).

    A projection takes a in place of x, as in the authors' code. The first block of a net has no ``preact``: the stem
    ends with norm and ReLU.
    """

    def __init__(self, preact: nn.Module, branch: nn.Module, shortcut: nn.Module | None, rate: float) -> None:
        super().__init__()
        self.preact, self.branch, self.shortcut = preact, branch, shortcut
        self.projects = isinstance(shortcut, nn.Sequential)
        self.drop = StochasticDepth(rate)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        activated_BCHW = self.preact(x_BCHW)
        out_BCHW: Tensor = self.drop(self.branch(activated_BCHW))
        if self.shortcut is not None:
            out_BCHW += self.shortcut(activated_BCHW if self.projects else x_BCHW)
        return out_BCHW


def residual_stages(channels: int, config: Any, *, bottleneck: bool, stride_on_3x3: bool = True) -> nn.ModuleList:
    """The stages behind a stem of ``channels`` channels: ``config.blocks[i]`` blocks of ``config.widths[i]`` channels.

    The first block of each stage but the first has stride 2. Basic blocks are 3x3-3x3; with ``bottleneck`` they are
    1x1-3x3-1x1 and give four times their width, the stride on the 3x3 or on the first 1x1. Of ``config`` counts too:
    ``preactivation``, ``shortcut``, ``residual``, ``stochastic_depth`` (the rate of the last block; the stem counts as
    block 0 with rate 0, as in arXiv 1603.09382).
    """
    rates = iter(rising_rates(config.stochastic_depth, sum(config.blocks) + 1, inclusive=True)[1:])
    stages = nn.ModuleList()
    for number, (depth, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
        stage = nn.Sequential()
        for block in range(depth):
            stride = 2 if number > 0 and block == 0 else 1
            kernels, widths = ((1, 3, 1), (width, width, 4 * width)) if bottleneck else ((3, 3), (width, width))
            strides = [1] * len(kernels)
            strides[1 if bottleneck and stride_on_3x3 else 0] = stride
            shortcut = _shortcut(channels, widths[-1], stride, config) if config.residual else None
            if config.preactivation:
                first = number == 0 and block == 0
                preact = nn.Identity() if first else nn.Sequential(OrderedDict(_norm_act(1, channels)))
                branch = _preactivation_branch(channels, kernels, widths, strides)
                stage.append(PreactivationBlock(preact, branch, shortcut, next(rates)))
            else:
                stage.append(ResidualBlock(_branch(channels, kernels, widths, strides), shortcut, next(rates)))
            channels = widths[-1]
        stages.append(stage)
    return stages


def residual_neck(channels: int, *, preactivation: bool) -> nn.Sequential:
    """The mean over positions, (B, C, H, W) -> (B, C); with pre-activation after the last norm and ReLU."""
    parts = OrderedDict[str, nn.Module](pool=global_average_pool())
    if preactivation:
        parts = OrderedDict(norm=nn.BatchNorm2d(channels), act=nn.ReLU(inplace=True), **parts)
    return nn.Sequential(parts)


def _branch(channels: int, kernels: Sequence[int], widths: Sequence[int], strides: Sequence[int]) -> nn.Sequential:
    """conv1, norm1, act1, conv2, norm2 and, in a bottleneck, act2, conv3, norm3."""
    parts: list[tuple[str, nn.Module]] = []
    for i, (kernel, width, stride) in enumerate(zip(kernels, widths, strides, strict=True), start=1):
        parts.append((f"conv{i}", conv(channels, width, kernel, stride)))
        parts += _norm_act(i, width)
        channels = width
    return nn.Sequential(OrderedDict(parts[:-1]))  # the last activation follows the sum


def _preactivation_branch(
    channels: int, kernels: Sequence[int], widths: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """conv1, norm2, act2, conv2 and, in a bottleneck, norm3, act3, conv3."""
    parts: list[tuple[str, nn.Module]] = []
    for i, (kernel, width, stride) in enumerate(zip(kernels, widths, strides, strict=True), start=1):
        if i > 1:
            parts += _norm_act(i, channels)
        parts.append((f"conv{i}", conv(channels, width, kernel, stride)))
        channels = width
    return nn.Sequential(OrderedDict(parts))


def _norm_act(number: int, channels: int) -> list[tuple[str, nn.Module]]:
    return [(f"norm{number}", nn.BatchNorm2d(channels)), (f"act{number}", nn.ReLU(inplace=True))]


def _shortcut(in_channels: int, out_channels: int, stride: int, config: Any) -> nn.Module:
    if config.shortcut != "C" and stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if config.shortcut == "A":
        return ZeroPadShortcut(in_channels, out_channels, stride)
    parts = OrderedDict[str, nn.Module](conv=conv(in_channels, out_channels, 1, stride))
    if not config.preactivation:  # where there is a pre-activation, it has normalised the projection's input
        parts["norm"] = nn.BatchNorm2d(out_channels)
    return nn.Sequential(parts)


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded by kernel // 2."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


def initialise_residual(model: nn.Module, *, zero_gamma: bool) -> None:
    """He's normal initialisation by fan-out for convolutions; with ``zero_gamma`` the last scale of every block starts
    at 0, so that the block starts as its shortcut (Goyal et al. 2017, arXiv 1706.02677)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_gamma and isinstance(module, ResidualBlock):
            nn.init.zeros_(module.branch[-1].weight)  # type: ignore[index]


def check_residual(name: str, config: Any) -> None:
    """Raise ValueError for options of a residual net that are out of range or exclude each other."""
    check_options(config)
    check_min_size(name, config.image_size, 1)
    if not config.blocks or min(*config.blocks, *config.widths, 1) < 1 or len(config.blocks) != len(config.widths):
        raise ValueError(
            "blocks and widths must have one number of at least 1 for each stage, "
            f"got blocks={config.blocks} and widths={config.widths}"
        )
    if config.zero_gamma and (config.preactivation or not config.residual):
        raise ValueError("zero_gamma needs residual=True and preactivation=False: else nothing would ever be learned")
    if config.stochastic_depth and not config.residual:
        raise ValueError("stochastic_depth needs residual=True: a plain net has no branch to leave out")
