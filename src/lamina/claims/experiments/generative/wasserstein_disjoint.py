"""On disjoint supports the Jensen-Shannon divergence is flat, the Wasserstein distance falls with the distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class DisjointSettings(Settings):
    distances: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """of the generated point from the data, both the same everywhere"""
    hidden: int = 32
    """units of each of two layers, tanh"""
    batch: int = 64
    steps: int = 800
    lr: float = 5e-3
    """of Adam, along half a cosine to 0"""
    penalty: float = 100.0
    """weight of the critic's gradient penalty: the best slope is 1 + distance / (2 penalty)"""
    ramp: int = 200
    """steps over which it rises from 0: at once it would hold a slope that began with the wrong sign at −1"""


def measure(settings: DisjointSettings, seed: int) -> Measurement:
    gaps, slopes, divergences, flat = [], [], [], []
    for distance in settings.distances:
        real_B1 = torch.zeros(settings.batch, 1)
        fake_B1 = torch.full_like(real_B1, distance)
        critic = _trained(settings, seed, real_B1, fake_B1, critic=True)
        gaps.append(-adversarial.wasserstein_critic_loss(critic(real_B1), critic(fake_B1)).item())
        slopes.append(_slope(critic, distance, adversarial.wasserstein_generator_loss))
        judge = _trained(settings, seed, real_B1, fake_B1, critic=False)
        value = -adversarial.minimax_discriminator_loss(judge(real_B1), judge(fake_B1)).item()
        divergences.append((value + math.log(4)) / 2)
        flat.append(_slope(judge, distance, adversarial.minimax_generator_loss))
    pairs = list(zip(gaps, settings.distances, strict=True))
    numbers = {
        "gap_off": max(abs(gap - distance) / distance for gap, distance in pairs),
        "critic_slope": min(slopes),
        "divergence_off": max(abs(one - math.log(2)) for one in divergences),
        "discriminator_slope": max(abs(one) for one in flat),
    }
    return Measurement(numbers=numbers, arrays={"gaps": np.array(gaps), "divergences": np.array(divergences)})


def _trained(settings: DisjointSettings, seed: int, real_B1: Tensor, fake_B1: Tensor, *, critic: bool) -> nn.Module:
    distance = fake_B1[0].item()
    net = drawn(lambda: _net(settings.hidden), seed, "weights", critic, distance)
    draw = generator(seed, "training", critic, distance)
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for step in range(settings.steps):
        if critic:
            mixed = adversarial.interpolates(real_B1, fake_B1, torch.rand(len(real_B1), generator=draw))
            loss = adversarial.wasserstein_critic_loss(net(real_B1), net(fake_B1))
            weight = settings.penalty * min(1.0, step / settings.ramp)
            loss = loss + weight * adversarial.gradient_penalty(net, mixed)
        else:
            loss = adversarial.minimax_discriminator_loss(net(real_B1), net(fake_B1))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    return net


def _slope(net: nn.Module, distance: float, loss: Callable[[Tensor], Tensor]) -> float:
    """The generator's gradient by the place of its point."""
    place = torch.tensor([[distance]], requires_grad=True)
    (slope,) = torch.autograd.grad(loss(net(place)), place)
    return slope.item()


def _net(hidden: int) -> nn.Module:
    layers = [nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)]
    return nn.Sequential(*layers)


def figure(figure: Figure, settings: DisjointSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, label) in enumerate({"gaps": "critic's gap", "divergences": "JSD of the discriminator"}.items()):
        for j, one in enumerate(measured):
            (line,) = axes.plot(settings.distances, one.arrays[name], "o-", color=SERIES[i], markersize=4, linewidth=1)
            line.set(alpha=0.6, label=None if j else label)
    axes.plot((0, 4), (0, 4), color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="distance")
    axes.set(xlabel="distance of the two points")
    legend(axes, columns=3)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="wasserstein-disjoint",
    sentence="For two points apart the critic's gap is their distance, with a gradient of 1 towards the data; the "
    "Jensen-Shannon divergence is log 2 at every distance, with no gradient.",
    source="Arjovsky, Chintala & Bottou, Wasserstein GAN, ICML 2017, example 1",
    arxiv="1701.07875",
    loose="“A WGAN's loss is the Wasserstein distance”: of a critic that is 1-Lipschitz, trained to its optimum, in "
    "the class of its net; under a penalty of weight λ it is too large by distance / 2λ.",
    settings=DisjointSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="gap_off", at_most=0.05, why="a twentieth, where the penalty alone explains a fiftieth"),
        Bar(number="critic_slope", at_least=0.9, why="1 towards the data, at every distance"),
        Bar(number="divergence_off", at_most=0.02, why="log 2, once the discriminator is sure"),
        Bar(number="discriminator_slope", at_most=0.02, why="a fiftieth of the critic's"),
    ),
    names={
        "gap_off": "largest relative difference of the critic's gap from the distance",
        "critic_slope": "least gradient of the generator's point, critic",
        "divergence_off": "largest difference from log 2",
        "discriminator_slope": "largest gradient of the generator's point, discriminator",
    },
    figure=figure,
    caption="What critic and discriminator measure of two points, by their distance",
    reading="The critic's gap differs from the distance by {gap_off} of it at most, and its gradient is at least "
    "{critic_slope}. The discriminator measures log 2 but for {divergence_off}; its minimax gradient is at most "
    "{discriminator_slope}.",
)
