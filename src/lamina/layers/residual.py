"""Residual blocks of the ImageNet and CIFAR ResNets: H(x) = F(x) + x (He et al. 2016, arXiv 1512.03385, 1603.05027).

ReLU and the sum work in place, but only on tensors that the block created: a block never modifies its input.

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
"""The paper's three shortcuts. A: the identity, subsampled and padded with zero channels where the shape changes. B: a
projection where the shape changes, the identity elsewhere. C: projections everywhere."""


class ZeroPadShortcut(nn.Module):
    """Shortcut A: every ``stride``-th position, new channels filled with zeros; no parameters.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)). Half of the new channels precede the old ones and
    half follow them, as in the PyTorch code whose CIFAR weights are in common use; the authors' Torch code appends all
    of them. The two differ only in the order of channels. Raises ValueError if ``out`` is smaller than ``in``.

    >>> ZeroPadShortcut(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
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
    """relu(branch(x) + shortcut(x)): (B, C, H, W) -> (B, C', H', W'); without a shortcut (plain net) relu(branch(x)).

    ``rate`` is that of stochastic depth: the probability of dropping the branch in training.
    """

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
    """branch(a) + x with a = relu(norm(x)): no activation on the shortcut path (arXiv 1603.05027).

    A projection shortcut is applied to a instead of x, as in the authors' code. In the first block of a network
    ``preact`` is the identity, because the stem ends with norm and ReLU.
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
    """The stages after a stem of ``channels`` channels: ``config.blocks[i]`` blocks of ``config.widths[i]`` channels.

    The first block of every stage except the first has stride 2. Basic blocks are 3x3-3x3; with ``bottleneck`` they are
    1x1-3x3-1x1 with four times their width as output, and the stride on the 3x3 or on the first 1x1. Also read from
    ``config``: ``preactivation``, ``shortcut``, ``residual``, and ``stochastic_depth``, the rate of the last block; the
    stem counts as block 0 with rate 0 (arXiv 1603.09382).
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
    """The mean over positions, (B, C, H, W) -> (B, C), with pre-activation preceded by the last norm and ReLU."""
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
    if not config.preactivation:  # with pre-activation the input of the projection is normalised already
        parts["norm"] = nn.BatchNorm2d(out_channels)
    return nn.Sequential(parts)


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded by kernel // 2."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


def initialise_residual(model: nn.Module, *, zero_gamma: bool) -> None:
    """Initialise convolutions with He's normal distribution by fan-out; with ``zero_gamma`` the last scale of every
    block is 0, so that the block is initially its shortcut (Goyal et al. 2017, arXiv 1706.02677)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_gamma and isinstance(module, ResidualBlock):
            nn.init.zeros_(module.branch[-1].weight)  # type: ignore[index]  # a branch is a Sequential


def check_residual(name: str, config: Any) -> None:
    """Raise ValueError if options of a residual network are out of range or contradict each other."""
    check_options(config)
    check_min_size(name, config.image_size, 1)
    if not config.blocks or min(*config.blocks, *config.widths, 1) < 1 or len(config.blocks) != len(config.widths):
        raise ValueError(
            "blocks and widths must have one number of at least 1 for each stage, "
            f"got blocks={config.blocks} and widths={config.widths}"
        )
    if config.zero_gamma and (config.preactivation or not config.residual):
        raise ValueError("zero_gamma needs residual=True and preactivation=False: otherwise nothing can be learned")
    if config.stochastic_depth and not config.residual:
        raise ValueError("stochastic_depth needs residual=True: a plain network has no branch to drop")
