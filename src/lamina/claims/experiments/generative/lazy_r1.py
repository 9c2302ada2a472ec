"""R1 at every 16th step with 16 times the weight has the mean gradient of R1 at every step, and more noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 300
"""weights of each seed in the figure: all of them would make it three megabytes"""


@dataclass(frozen=True, kw_only=True)
class LazySettings(Settings):
    interval: int = 16
    rounds: int = 16
    """of so many steps each"""
    batch: int = 32
    width: int = 64


def measure(settings: LazySettings, seed: int) -> Measurement:
    judge: Any = drawn(partial(_net, settings), seed, "weights").double()
    draw, k = generator(seed, "data"), settings.interval
    slopes = torch.stack([_slope(judge, settings, draw) for _ in range(k * settings.rounds)])
    every_P = slopes.mean(0)
    # of each place in the round that the penalty may be taken at: k times the slopes there, over all steps
    lazy_kP = slopes.reshape(settings.rounds, k, -1).sum(0) * k / len(slopes)
    off = float((lazy_kP.mean(0) - every_P).norm() / every_P.norm())
    apart = float((lazy_kP - every_P).norm(dim=1).mean() / every_P.norm())
    plain = float(slopes.var(0).sum())
    taken = torch.zeros_like(slopes)
    taken[::k] = k * slopes[::k]
    ratio = float(taken.var(0).sum()) / plain
    numbers = {"off": off, "apart": apart, "noise": ratio}
    return Measurement(numbers=numbers, arrays={"every": every_P.numpy(), "lazy": lazy_kP[0].numpy()})


def _slope(judge: Any, settings: LazySettings, draw: torch.Generator) -> Tensor:
    """The gradient of R1 on a batch, (P,)."""
    x = torch.randn(settings.batch, 2, generator=draw, dtype=torch.float64)
    slopes = torch.autograd.grad(adversarial.r1_penalty(judge, x), list(judge.parameters()), allow_unused=True)
    return torch.cat([slope.flatten() for slope in slopes if slope is not None])


def _net(settings: LazySettings) -> Any:
    return create_model("gan-toy", discriminator_hidden=(settings.width, settings.width)).discriminator


def figure(figure: Figure, settings: LazySettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        label = "a weight" if not i else None
        every, lazy = (one.arrays[name][:: max(1, len(one.arrays[name]) // SHOWN)] for name in ("every", "lazy"))
        axes.plot(every, lazy, ".", color=SERIES[0], markersize=2, alpha=0.4, label=label)
    axes.set(xlabel="mean gradient of R1 at every step", ylabel=f"at every {settings.interval}th, times as much")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="lazy-r1",
    sentence="R1 at every 16th step with 16 times the weight has, on average over where it is taken, the gradient of "
    "R1 at every step; a step's gradient is noisier.",
    source="Karras et al., Analyzing and improving the image quality of StyleGAN, CVPR 2020",
    arxiv="1912.04958",
    loose="“Lazy regularisation changes nothing”: the mean is the same, the noise is not, and Adam, which divides by "
    "the size of gradients, sees another one; hence its rate and betas are corrected.",
    settings=LazySettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="off", at_most=1e-10, why="float64 rounding"),
        Bar(number="noise", at_least=8, why="a penalty 16 times as large, once in 16 steps"),
    ),
    names={
        "off": "relative difference of the mean gradients",
        "apart": "relative difference for one place alone",
        "noise": "variance of a step's gradient, relative to R1 at every step",
    },
    figure=figure,
    caption="Gradients over 256 steps by weight of the discriminator, the penalty at the first step of 16",
    reading="Averaged over the {setting.interval} places where it may be taken, the lazy gradient is that of every "
    "step within {off}; for one place alone, over {setting.rounds} rounds, it is {apart} away, which is the noise of "
    "its batches. The variance of a step's gradient is {noise} times as large.",
)
