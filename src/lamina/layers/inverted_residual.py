"""The inverted residual of MobileNet V2 (Sandler et al. 2018, arXiv 1801.04381), with the squeeze-and-excitation that
MobileNet V3 and EfficientNet (there called MBConv) put into it; and what their nets do alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lamina.layers.activations import Activation
from lamina.layers.convolution import conv_norm
from lamina.layers.squeeze_excitation import SqueezeExcitation
from lamina.layers.stochastic_depth import StochasticDepth


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-and-excitation, linear 1x1 projection; narrow at both ends.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)). The parts of ``branch`` are ``expand`` (where
    ``expanded`` is not ``in_channels``), ``depthwise``, ``squeeze`` (where ``squeezed`` is not 0) and ``project``. The
    input is added where it has the output's shape.
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
    ) -> None:
        super().__init__()
        unit = partial(conv_norm, eps=eps, momentum=momentum)
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
    """The stages of a net from the ``rows`` of its table, blocks each: a new stage begins at a row of stride 2."""
    stages: list[list[nn.Module]] = [[]]
    for blocks, stride in zip(rows, strides, strict=True):
        if stride == 2 and stages[-1]:
            stages.append([])
        stages[-1].extend(blocks)
    return nn.ModuleList(nn.Sequential(*stage) for stage in stages)


def small_image_strides(strides: Sequence[int]) -> list[int]:
    """The ``strides`` of a net for small images: the first 2 is a 1, so that the map stays as large there."""
    strides = list(strides)
    if 2 in strides:
        strides[strides.index(2)] = 1
    return strides


def initialise(net: nn.Module) -> None:
    """Convolutions start at N(0, 2 / fan-out) and linear layers at N(0, 0.01^2), biases at 0, as in torchvision. The
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
    """Raise ValueError unless ``widths`` and ``depths`` of ``config`` name ``rows`` numbers of at least 1 each."""
    for name in ("widths", "depths"):
        values = getattr(config, name)
        if len(values) != rows or min(values) < 1:
            raise ValueError(f"{name} must be {rows} numbers of at least 1, got {values}")
