"""The generator's best is the data's own density, where the value of the game is -log 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class EquilibriumSettings(Settings):
    values: int = 20
    """that x takes, with random probabilities p and r"""
    shares: tuple[float, ...] = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
    """t of q = (1 - t) p + t r: from the data's density to another"""
    rounds: int = 200
    """iterations of L-BFGS for the best discriminator, a logit for each value"""


def best_value(p_K: Tensor, q_K: Tensor, rounds: int) -> float:
    """max over D of E_p log D + E_q log(1 - D), found by optimisation."""
    logit_K = torch.zeros_like(p_K, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logit_K], max_iter=rounds, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        softplus = adversarial.softplus
        value = (p_K * softplus(-logit_K) + q_K * softplus(logit_K)).sum()
        torch.autograd.backward(value)
        return value

    optimiser.step(loss)
    return -loss().item()


def measure(settings: EquilibriumSettings, seed: int) -> Measurement:
    draw = generator(seed, "densities")
    p_K, r_K = torch.rand(2, settings.values, generator=draw, dtype=torch.float64).pow(2).add(1e-3).unbind()
    p_K, r_K = p_K / p_K.sum(), r_K / r_K.sum()
    found, expected = [], []
    for share in settings.shares:
        q_K = (1 - share) * p_K + share * r_K
        found.append(best_value(p_K, q_K, settings.rounds))
        middle_K = (p_K + q_K) / 2
        divergence = 0.5 * ((p_K * (p_K / middle_K).log()).sum() + (q_K * (q_K / middle_K).log()).sum())
        expected.append(adversarial.value_at_optimum(float(divergence)))
    numbers = {
        "at_equilibrium": abs(found[0] + math.log(4)),
        "off": max(abs(one - other) for one, other in zip(found, expected, strict=True)),
        "least_rise": max(min(b - a for a, b in pairwise(found)), 0.0),
        "value": found[-1],
    }
    return Measurement(numbers=numbers, arrays={"found": np.array(found), "expected": np.array(expected)})


def figure(figure: Figure, settings: EquilibriumSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        label = None if i else "−log 4 + 2 JSD"
        axes.plot(settings.shares, one.arrays["expected"], color=MUTED, linewidth=2.5, alpha=0.5, label=label)
        label = None if i else "best discriminator, found by optimisation"
        axes.plot(settings.shares, one.arrays["found"], "o", markersize=4, color=SERIES[i % 5], label=label)
    axes.axhline(-math.log(4), color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="−log 4")
    axes.set(xlabel="share of the other density in q", ylabel="value of the game")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="equilibrium-value",
    sentence="Against the best discriminator the value of the game is least, −log 4, where the generator's density is "
    "the data's, and grows with every step away from it.",
    source="Goodfellow et al., Generative adversarial nets, NIPS 2014, theorem 1",
    arxiv="1406.2661",
    loose="“At equilibrium the loss is 0.5”: D is 1/2; the discriminator's loss is log 4 = 1.386, and a generator that "
    "has failed against a discriminator that has not learnt shows the same.",
    settings=EquilibriumSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="at_equilibrium", at_most=1e-8, why="−log 4, to rounding"),
        Bar(number="off", at_most=1e-6, why="the optimum that is found by iteration"),
        Bar(number="least_rise", at_least=1e-4, why="each step away costs more than all rounding"),
    ),
    names={
        "at_equilibrium": "difference from −log 4 at q = p",
        "off": "largest difference from −log 4 + 2 JSD",
        "least_rise": "least rise from one q to the next",
        "value": "value at the other density",
    },
    figure=figure,
    caption="Value of the game on the way from the data's density to another, for each seed",
    reading="At q = p the value is −log 4 but for {at_equilibrium}; on the way to another density it rises by at least "
    "{least_rise} a step, to {value}, and differs from −log 4 + 2 JSD by {off} at most.",
)
