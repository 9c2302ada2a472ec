"""The best discriminator of two densities is p / (p + q), and the value of the game there -log 4 + 2 JSD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class OptimumSettings(Settings):
    hidden: int = 32
    """units of each of two layers, tanh"""
    batch: int = 1024
    """fresh samples of p and of q each step"""
    steps: int = 1500
    lr: float = 5e-3
    """of Adam, along half a cosine to 0"""
    shift: tuple[float, float] = (0.5, 1.5)
    """p = N(0, 1); q = N(m, s²), m drawn uniformly from here"""
    spread: tuple[float, float] = (0.6, 1.4)
    """and s from here"""


def log_density(x_N: Tensor, mean: float, std: float) -> Tensor:
    return -((x_N - mean) ** 2) / (2 * std**2) - math.log(std * math.sqrt(2 * math.pi))


def measure(settings: OptimumSettings, seed: int) -> Measurement:
    draw = generator(seed, "training")
    low, high = (torch.tensor(pair) for pair in zip(settings.shift, settings.spread, strict=True))
    mean, std = (low + (high - low) * torch.rand(2, generator=draw)).tolist()
    net = drawn(lambda: _net(settings.hidden), seed, "weights")
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for _ in range(settings.steps):
        real_B1, fake_B1 = torch.randn(2, settings.batch, 1, generator=draw)
        loss = adversarial.minimax_discriminator_loss(net(real_B1), net(mean + std * fake_B1))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    x_N = torch.linspace(-6, 8, 4001, dtype=torch.float64)
    p_N, q_N = log_density(x_N, 0, 1).exp(), log_density(x_N, mean, std).exp()
    best_N = adversarial.optimal_discriminator(p_N, q_N)
    with torch.no_grad():
        logit_N = net(x_N.float()[:, None])[:, 0].double()
    weight_N, width = (p_N + q_N) / 2, float(x_N[1] - x_N[0])
    error = ((weight_N * (logit_N.sigmoid() - best_N) ** 2).sum() * width).sqrt()
    constant = ((weight_N * (0.5 - best_N) ** 2).sum() * width).sqrt()
    divergence = 0.5 * (p_N * (2 * best_N).log() + q_N * (2 * (1 - best_N)).log()).sum() * width
    softplus = adversarial.softplus
    value = -(p_N * softplus(-logit_N) + q_N * softplus(logit_N)).sum() * width
    at_best = adversarial.value_at_optimum(float(divergence))
    numbers = {
        "error": float(error),
        "constant": float(constant),
        "value_gap": abs(at_best - float(value)),
        "value": float(value),
        "best_value": at_best,
    }
    shown = slice(1000, 3001, 20)
    arrays = {"x": x_N[shown].numpy(), "learnt": logit_N[shown].sigmoid().numpy(), "best": best_N[shown].numpy()}
    return Measurement(numbers=numbers, arrays=arrays)


def _net(hidden: int) -> nn.Module:
    layers = [nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)]
    return nn.Sequential(*layers)


def figure(figure: Figure, settings: OptimumSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        x, colour = one.arrays["x"], SERIES[i % 5]
        axes.plot(x, one.arrays["best"], color=MUTED, linewidth=2.5, alpha=0.5, label="p / (p + q)" if not i else None)
        axes.plot(x, one.arrays["learnt"], color=colour, linewidth=1.1, label=None if i else "trained")
    axes.set(xlabel="x", ylabel="D(x)", ylim=(0, 1))
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="optimal-discriminator",
    sentence="A discriminator trained to tell samples of p from samples of q learns p / (p + q), and the value of the "
    "game is then −log 4 + 2 JSD(p ‖ q).",
    source="Goodfellow et al., Generative adversarial nets, NIPS 2014, proposition 1 and theorem 1",
    arxiv="1406.2661",
    loose="“The discriminator says how probable it is that a sample is real”: under equal shares of both, and only of "
    "the two densities it was trained on.",
    settings=OptimumSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="error", at_most=0.03, why="of probabilities that the constant 1/2 misses by 0.2 or more"),
        Bar(number="value_gap", at_most=0.01, why="a hundredth of the range of values, from −log 4 to 0"),
    ),
    names={
        "error": "root mean square of D − p/(p + q), over (p + q)/2",
        "constant": "the same of the constant 1/2",
        "value_gap": "difference of the value from −log 4 + 2 JSD",
        "value": "value of the game with the trained discriminator",
        "best_value": "−log 4 + 2 JSD",
    },
    figure=figure,
    caption="The trained discriminator over p / (p + q), p = N(0, 1) and another q for each seed",
    reading="The trained discriminators are off by {error}, the constant 1/2 by {constant}; the value of the game is "
    "{value}, where −log 4 + 2 JSD is {best_value}.",
)
