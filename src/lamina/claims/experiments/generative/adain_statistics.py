"""Adaptive instance normalisation gives features the mean and deviation of another picture's, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, legend, readable
from lamina.stylisation import losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class AdaINSettings(Settings):
    pictures: int = 4
    """pairs of content and style"""
    channels: int = 16
    side: int = 12
    """of the maps of the content; those of the style are 3 pixels wider. A channel is exp or identity of N(0, 1) mixed
    from others, of deviations from 1/2 to 2 and means N(0, 1), in float64"""
    alpha: float = 0.25
    """of the mixture that is tested besides"""


def measure(settings: AdaINSettings, seed: int) -> Measurement:
    draw = generator(seed, "tensors")
    model: Any = drawn(partial(create_model, "adain", image_size=16, widths=(4, 4, 4, settings.channels)), seed, "net")
    content, style = (_maps(settings, side, draw) for side in (settings.side, settings.side + 3))
    out = model.blend(content, style)
    (content_mean, content_std), (style_mean, style_std), (mean, std) = map(_statistics, (content, style, out))
    mixed_mean, _ = _statistics(model.blend(content, style, settings.alpha))
    expected = settings.alpha * style_mean + (1 - settings.alpha) * content_mean
    shape = ((out - mean) / std, (content - content_mean) / content_std)
    return Measurement(
        numbers={
            "mean": largest(mean - style_mean),
            "deviation": largest(std / style_std - 1),
            "itself": largest(model.blend(content, content) - content),
            "arrangement": largest(shape[0] - shape[1]),
            "mixture": largest(mixed_mean - expected),
            "moved": min(
                (content_mean - style_mean).abs().mean().item(), (content_std / style_std - 1).abs().mean().item()
            ),
            "gram": ((losses.gram(out) - losses.gram(style)).norm() / losses.gram(style).norm()).item(),
        },
        arrays={
            name: value.flatten().numpy()
            for name, value in (
                ("style_mean", style_mean),
                ("style_std", style_std),
                ("content_mean", content_mean),
                ("content_std", content_std),
                ("out_mean", mean),
                ("out_std", std),
            )
        },
    )


def _maps(settings: AdaINSettings, side: int, draw: torch.Generator) -> Tensor:
    """(B, C, side, side) of correlated channels."""
    B, C = settings.pictures, settings.channels
    raw_BCHW = torch.randn(B, C, side, side, generator=draw, dtype=torch.float64)
    raw_BCHW[:, ::2] = raw_BCHW[:, ::2].exp()
    mix_BCC = torch.randn(B, C, C, generator=draw, dtype=torch.float64)
    maps_BCHW = torch.einsum("bdc,bchw->bdhw", mix_BCC, raw_BCHW)
    mean, std = _statistics(maps_BCHW)
    deviation = 2 ** (2 * torch.rand(mean.shape, generator=draw, dtype=torch.float64) - 1)
    return (maps_BCHW - mean) / std * deviation + torch.randn(mean.shape, generator=draw, dtype=torch.float64)


def _statistics(maps_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (B, C, 1, 1) each, written plainly."""
    mean = maps_BCHW.mean((2, 3), keepdim=True)
    count = maps_BCHW.shape[2] * maps_BCHW.shape[3]
    return mean, (((maps_BCHW - mean) ** 2).sum((2, 3), keepdim=True) / (count - 1)).sqrt()


def figure(figure: Figure, settings: AdaINSettings, measured: Sequence[Measurement]) -> None:
    arrays = measured[0].arrays
    for axes, (name, label) in zip(
        figure.subplots(1, 2), (("mean", "mean"), ("std", "standard deviation")), strict=True
    ):
        style = arrays[f"style_{name}"]
        ends = (style.min(), style.max())
        axes.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        for i, (which, title) in enumerate((("content", "content"), ("out", "AdaIN"))):
            axes.plot(style, arrays[f"{which}_{name}"], "o", color=SERIES[i], markersize=4, alpha=0.6, label=title)
        axes.set(xlabel=f"{label} of the style", ylabel=f"{label} of the maps")
        legend(axes)
        readable(axes.xaxis)
        readable(axes.yaxis)


CLAIM = Claim(
    name="adain-statistics",
    sentence="AdaIN(x, y) has the mean and standard deviation of y in every channel and the arrangement of x; "
    "AdaIN(x, x) = x.",
    source="Huang & Belongie, Arbitrary style transfer in real-time with adaptive instance normalization, ICCV 2017",
    arxiv="1703.06868",
    loose="“It transfers the style's statistics”: two numbers a channel. How channels go together, which Gatys' Gram "
    "matrix holds, stays that of the content.",
    settings=AdaINSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="mean", at_most=1e-12, why="float64 rounding at most"),
        Bar(number="deviation", at_most=1e-4, why="1e-5 is added to variances of 1/4 or more: 2e-5 of the deviation"),
        Bar(number="itself", at_most=1e-12, why="the same numbers taken off and put back: float64 rounding at most"),
        Bar(
            number="arrangement", at_most=1e-12, why="a line a channel: its standardised maps are those of the content"
        ),
        Bar(number="mixture", at_most=1e-12, why="a mixture of maps has the mixture of their means"),
        Bar(number="moved", at_least=0.1, why="content and style differ: the measure can tell"),
        Bar(number="gram", at_least=0.1, why="products of channels are not transferred"),
    ),
    names={
        "mean": "largest difference of a channel's mean from the style's",
        "deviation": "largest relative difference of a channel's standard deviation from the style's",
        "itself": "largest difference of AdaIN(x, x) from x",
        "arrangement": "largest difference of the standardised maps from the content's",
        "mixture": "largest difference of a mixture's mean from the mixture of the means",
        "moved": "mean difference of content and style, of means or relative of deviations, the smaller",
        "gram": "relative difference of the Gram matrix from the style's",
    },
    figure=figure,
    caption="Mean and standard deviation of each channel before and after AdaIN, against the style's (first seed)",
    reading="The means agree to {mean}, the deviations to {deviation} of their size, which is the 1e-5 that the "
    "variances are raised by; the standardised maps are the content's to {arrangement}. With alpha = {setting.alpha} "
    "the means are mixed as the maps are. The Gram matrix is still {gram} of its size away from the style's.",
)
