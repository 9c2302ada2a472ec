"""The inverted residual of MobileNet V2 (Sandler et al. 2018, arXiv 1801.04381), with the squeeze-and-excitation that
MobileNet V3 and EfficientNet (which calls it MBConv) add to it, and helpers that these networks share.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lamina.layers.activations import Activation
from lamina.layers.convolution import Padding, conv_norm
from lamina.layers.squeeze_excitation import SqueezeExcitation
from lamina.layers.stochastic_depth import StochasticDepth


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-and-excitation, linear 1x1 projection; narrow at both ends.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)). The parts of ``branch`` are ``expand`` (unless
    ``expanded`` equals ``in_channels``), ``depthwise``, ``squeeze`` (unless ``squeezed`` is 0) and ``project``. The
    input is added to the branch if it has the shape of the output.

    >>> InvertedResidual(16, 96, 24, 3, stride=2, act="relu6")(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 24, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        expanded: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int,
        act: Activation,
        squeezed: int = 0,
        squeeze_act: Activation = "relu",
        gate: Activation = "sigmoid",
        stochastic_depth: float = 0.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        unit = partial(conv_norm, eps=eps, momentum=momentum, padding=padding)
        parts = OrderedDict[str, nn.Module]()
        if expanded != in_channels:
            parts["expand"] = unit(in_channels, expanded, 1, act=act)
        parts["depthwise"] = unit(expanded, expanded, kernel, stride=stride, groups=expanded, act=act)
        if squeezed:
            parts["squeeze"] = SqueezeExcitation(expanded, squeezed, act=squeeze_act, gate=gate)
        parts["project"] = unit(expanded, out_channels, 1, act=None)
        self.branch = nn.Sequential(parts)
        self.drop = StochasticDepth(stochastic_depth)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x_BCHW: Tensor) -> Tensor:
        branch_BCHW: Tensor = self.branch(x_BCHW)
        return x_BCHW + self.drop(branch_BCHW) if self.residual else branch_BCHW


def group_by_resolution(rows: Iterable[Sequence[nn.Module]], strides: Iterable[int]) -> nn.ModuleList:
    """Stages from the rows of a network's table, each a list of blocks: a row of stride 2 begins a new stage."""
    stages: list[list[nn.Module]] = [[]]
    for blocks, stride in zip(rows, strides, strict=True):
        if stride == 2 and stages[-1]:
            stages.append([])
        stages[-1].extend(blocks)
    return nn.ModuleList(nn.Sequential(*stage) for stage in stages)


def small_image_strides(strides: Sequence[int]) -> list[int]:
    """The strides for small images: the first 2 becomes a 1, so that the map keeps its size there.

    >>> small_image_strides((1, 2, 2, 1))
    [1, 1, 2, 1]
    """
    strides = list(strides)
    if 2 in strides:
        strides[strides.index(2)] = 1
    return strides


def initialise(net: nn.Module) -> None:
    """Initialise as torchvision does: convolutions N(0, 2 / fan-out), linear layers N(0, 0.01^2), biases 0. The
    fan-out of a depthwise convolution counts all channels."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)


def check_table(config: Any, rows: int) -> None:
    """Raise ValueError unless ``widths`` and ``depths`` of ``config`` each hold ``rows`` numbers of at least 1."""
    for name in ("widths", "depths"):
        values = getattr(config, name)
        if len(values) != rows or min(values) < 1:
            raise ValueError(f"{name} must be {rows} numbers of at least 1, got {values}")
