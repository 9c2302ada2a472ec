"""What a depthwise separable convolution costs, against a full one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from lamina.claims.building import macs, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class CostSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    side: int = 14
    """of the map"""
    in_channels: int = 256
    out_channels: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    kernels: tuple[int, ...] = (3, 5, 7)


def separable(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
    """A depthwise convolution, then a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
    )


def measure(settings: CostSettings, seed: int) -> Measurement:
    M, shape = settings.in_channels, (1, settings.in_channels, settings.side, settings.side)
    ratios, off = {}, []
    for k in settings.kernels:
        for N in settings.out_channels:
            full = weightless(partial(nn.Conv2d, M, N, k, padding=k // 2, bias=False))
            split = weightless(partial(separable, M, N, k))
            ratios[k, N] = macs(split, *shape) / macs(full, *shape)
            off.append(abs(ratios[k, N] / (1 / N + 1 / k**2) - 1))
    return Measurement(
        numbers={"off": max(off), "ratio": ratios[3, 512], "times": 1 / ratios[3, 512]},
        arrays={f"ratio_{k}": np.array([ratios[k, N] for N in settings.out_channels]) for k in settings.kernels},
    )


def figure(figure: Figure, settings: CostSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    N = np.geomspace(settings.out_channels[0], settings.out_channels[-1], 100)
    for i, k in enumerate(settings.kernels):
        axes.plot(N, 1 / N + 1 / k**2, color=SERIES[i], linewidth=1)
        ratios = measured[0].arrays[f"ratio_{k}"]
        axes.plot(settings.out_channels, ratios, color=SERIES[i], marker="o", linestyle="", label=f"{k}×{k}")
    axes.set(xscale="log", yscale="log", xlabel="output channels N", ylabel="separable / full")
    axes.set_xticks(settings.out_channels)
    axes.minorticks_off()
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="depthwise-separable-cost",
    sentence="A depthwise separable k x k convolution to N channels takes 1/N + 1/k² of the multiply-adds of a full "
    "one: with 3x3 kernels and 512 channels, 0.113.",
    source="Howard et al., MobileNets: efficient convolutional neural networks for mobile vision, 2017, section 3.1",
    arxiv="1704.04861",
    loose="“Eight to nine times cheaper”: of multiply-adds, with 3x3 kernels and many channels. Time is another thing, "
    "as depthwise layers move many numbers for each multiplication.",
    settings=CostSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="off", at_most=1e-12, why="both are whole numbers of multiply-adds: rounding of a quotient at most"),
    ),
    names={
        "off": "largest relative difference from 1/N + 1/k²",
        "ratio": "separable over full, 3x3, N = 512",
        "times": "full over separable, 3x3, N = 512",
    },
    figure=figure,
    caption="Multiply-adds of the separable layers over those of the full one: counted (dots) and 1/N + 1/k² (lines)",
    reading="Counted on layers that are built, not on paper, the ratio differs from 1/N + 1/k² by {off} over all "
    "kernels and widths. With 3x3 kernels and 512 output channels it is {ratio:4}: {times} times fewer. It does not "
    "depend on the number of input channels or the size of the map.",
)
