"""Where the discriminator is sure, the minimax generator gets no gradient, the non-saturating one its full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class SaturationSettings(Settings):
    logit: float = -6.0
    """of a generated sample"""
    distance: float = 8.0
    """between the data N(0, 1) and what is generated, N(distance, 1)"""
    hidden: int = 32
    """of the discriminator's one layer, tanh"""
    batch: int = 256
    steps: int = 500
    """of the discriminator alone"""
    lr: float = 0.01
    """of Adam"""


def measure(settings: SaturationSettings, seed: int) -> Measurement:
    slopes = _slopes(torch.tensor([settings.logit], dtype=torch.float64))
    draw = generator(seed, "training")
    net = drawn(lambda: nn.Sequential(nn.Linear(1, settings.hidden), nn.Tanh(), nn.Linear(settings.hidden, 1)), seed)
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    for _ in range(settings.steps):
        real_B1, z_B1 = torch.randn(2, settings.batch, 1, generator=draw)
        loss = adversarial.minimax_discriminator_loss(net(real_B1), net(settings.distance + z_B1))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    shift = torch.tensor(settings.distance, requires_grad=True)  # the generator: z + shift
    z_B1 = torch.randn(4096, 1, generator=draw)
    found = [
        abs(torch.autograd.grad(loss(net(z_B1 + shift)), shift)[0].item())
        for loss in (adversarial.minimax_generator_loss, adversarial.non_saturating_generator_loss)
    ]
    numbers = {
        "saturating": abs(float(slopes[0])),
        "non_saturating": abs(float(slopes[1])),
        "saturating_off": abs(abs(float(slopes[0])) - 1 / (1 + math.exp(-settings.logit))),
        "non_saturating_off": abs(abs(float(slopes[1])) - 1 / (1 + math.exp(settings.logit))),
        "trained_saturating": found[0],
        "trained_non_saturating": found[1],
        "trained_ratio": found[1] / found[0],
    }
    logit_N = torch.linspace(-10, 10, 81, dtype=torch.float64)
    saturating_N, non_saturating_N = _slopes(logit_N)
    arrays = {"logit": logit_N.numpy(), "saturating": saturating_N.numpy(), "non_saturating": non_saturating_N.numpy()}
    return Measurement(numbers=numbers, arrays=arrays)


def _slopes(logit_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The derivative of each of the generator's losses by each logit."""
    x_N = logit_N.clone().requires_grad_()
    losses = (adversarial.minimax_generator_loss, adversarial.non_saturating_generator_loss)
    one, other = (torch.autograd.grad(loss(x_N) * len(x_N), x_N)[0] for loss in losses)
    return one, other


def figure(figure: Figure, settings: SaturationSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    for i, (name, label) in enumerate({"saturating": "minimax", "non_saturating": "non-saturating"}.items()):
        axes.plot(arrays["logit"], np.abs(arrays[name]), color=SERIES[i], linewidth=1.6, label=label)
    axes.set(xlabel="logit of a generated sample", ylabel="size of the gradient")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="saturating-gradient",
    sentence="At a logit of −6 the minimax generator's gradient is 0.0025, the non-saturating one's 0.9975; against a "
    "discriminator trained on distant data it is a hundred times smaller or less.",
    source="Goodfellow et al., Generative adversarial nets, NIPS 2014, section 3",
    arxiv="1406.2661",
    loose="“The non-saturating loss changes the game's solution”: both are stationary at the same generator; what "
    "changes is the way there.",
    settings=SaturationSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="saturating_off", at_most=1e-12, why="sigmoid(−6) = 0.0024726"),
        Bar(number="non_saturating_off", at_most=1e-12, why="1 − sigmoid(−6) = 0.9975274"),
        Bar(number="trained_ratio", at_least=100, why="two orders of magnitude"),
    ),
    names={
        "saturating": "gradient at the logit, minimax",
        "non_saturating": "gradient at the logit, non-saturating",
        "saturating_off": "difference from sigmoid(logit)",
        "non_saturating_off": "difference from 1 − sigmoid(logit)",
        "trained_saturating": "gradient by the generator's shift, minimax",
        "trained_non_saturating": "gradient by the generator's shift, non-saturating",
        "trained_ratio": "non-saturating over minimax",
    },
    figure=figure,
    caption="Gradient of the generator's losses by the logit of a sample",
    reading="At a logit of {setting.logit} the gradients are {saturating} and {non_saturating}. Against a "
    "discriminator after {setting.steps} steps on data {setting.distance} deviations away the generator's shift gets "
    "{trained_saturating} from minimax and {trained_non_saturating} from the other, {trained_ratio} times as much.",
)
