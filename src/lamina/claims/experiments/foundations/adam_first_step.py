"""Adam's first step is as long as the learning rate, whatever the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import optimisers
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FirstStepSettings(Settings):
    gradients: int = 1000
    """of random sign"""
    least: float = 1e-3
    most: float = 1e6
    """their sizes are log-uniform between"""
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


def measure(settings: FirstStepSettings, seed: int) -> Measurement:
    draw = generator(seed, "gradients")
    low, high = math.log(settings.least), math.log(settings.most)
    size_N = torch.exp(low + (high - low) * torch.rand(settings.gradients, generator=draw, dtype=torch.float64))
    g_N = size_N * (2 * torch.randint(2, (settings.gradients,), generator=draw, dtype=torch.float64) - 1)
    theta_N = torch.randn(settings.gradients, generator=draw, dtype=torch.float64)
    state = optimisers.adam_start(theta_N)
    rest = (settings.lr, settings.beta1, settings.beta2, settings.eps)
    step_N = optimisers.adam(theta_N, g_N, state, *rest)[0] - theta_N
    bare_N = optimisers.adam(theta_N, g_N, state, *rest, correct=False)[0] - theta_N
    factor = (1 - settings.beta1) / math.sqrt(1 - settings.beta2)
    order = size_N.argsort()
    return Measurement(
        numbers={
            "off": (step_N / (-settings.lr * g_N.sign()) - 1).abs().max().item(),
            "bare": (bare_N.abs() / settings.lr).mean().item(),
            "bare_off": (bare_N / (-settings.lr * factor * g_N.sign()) - 1).abs().max().item(),
        },
        arrays={
            "g": size_N[order].numpy(),
            "step": (step_N.abs() / settings.lr)[order].numpy(),
            "bare": (bare_N.abs() / settings.lr)[order].numpy(),
        },
    )


def figure(figure: Figure, settings: FirstStepSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    size = np.array(arrays["g"])
    axes.plot(size, arrays["step"], color=SERIES[0], label="Adam")
    axes.plot(size, arrays["bare"], color=SERIES[1], label="without bias correction")
    axes.plot(size, size, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="SGD")
    axes.set(xscale="log", yscale="log", ylim=(0.1, 30), xlabel="|gradient|", ylabel="first step / learning rate")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="adam-first-step",
    sentence="Adam's first step is −lr·sign(g) for a gradient of any scale; without the bias correction it would be "
    "(1−β₁)/√(1−β₂) = 3.16 times as long.",
    source="Kingma & Ba, Adam: a method for stochastic optimization, ICLR 2015",
    arxiv="1412.6980",
    settings=FirstStepSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="off", at_most=1e-3, why="ε = 1e-8 beside a gradient of 1e-3 or more leaves 1e-5"),
        Bar(number="bare_off", at_most=1e-2, why="ε beside √(1−β₂) times such a gradient leaves 3e-4"),
    ),
    names={
        "off": "largest relative distance of the step from −lr·sign(g)",
        "bare": "step without bias correction / lr",
        "bare_off": "largest relative distance from 3.16 lr of the step without bias correction",
    },
    figure=figure,
    caption="Length of the first step against the size of the gradient",
    reading="Over gradients from {setting.least} to {setting.most} the step differs from −lr·sign(g) by {off} of "
    "itself at most, which is ε at the smallest gradient. Without the correction it is {bare} times lr. The rule "
    "holds while |g| is far above ε: a gradient of 1e-8 gets half a step.",
)
