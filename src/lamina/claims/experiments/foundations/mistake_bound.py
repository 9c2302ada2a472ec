"""The perceptron makes at most (R / gamma)^2 mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import perceptron
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class MistakeSettings(Settings):
    sets: int = 20
    """data sets per seed"""
    samples: int = 100
    """points per set, uniform in the square (-1, 1)^2"""
    least_gap: float = 0.01
    most_gap: float = 0.3
    """minimum distance of the points from the true line, one per set, log-uniform between these"""
    rate: float = 0.37
    """learning rate: must have no influence"""
    passes: int = 10_000


def measure(settings: MistakeSettings, seed: int) -> Measurement:
    draw = generator(seed, "sets")
    mistakes, bounds, converged = [], [], []
    for _ in range(settings.sets):
        x_N3, t_N, w_3 = _separable(settings, draw)
        _, made, done = perceptron.learn(x_N3, t_N, settings.rate, settings.passes)
        mistakes.append(float(made))
        bounds.append(perceptron.mistake_bound(w_3, x_N3, t_N).item())
        converged.append(done)
    shares = np.array(mistakes) / np.array(bounds)
    numbers = {
        "worst_share": shares.max().item(),
        "mean_share": shares.mean().item(),
        "converged": float(np.mean(converged)),
    }
    return Measurement(numbers=numbers, arrays={"mistakes": np.array(mistakes), "bounds": np.array(bounds)})


def _separable(settings: MistakeSettings, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Points (N, 3) with the bias folded in, targets (N,), and the line (3,) that separates them with a gap."""
    angle = 2 * torch.pi * torch.rand((), generator=draw, dtype=torch.float64)
    offset = torch.rand((), generator=draw, dtype=torch.float64) - 0.5
    w_3 = torch.stack([torch.cos(angle), torch.sin(angle), offset])
    low, high = np.log(settings.least_gap), np.log(settings.most_gap)
    gap = torch.exp(low + (high - low) * torch.rand((), generator=draw, dtype=torch.float64))
    x_M2 = 2 * torch.rand(50 * settings.samples, 2, generator=draw, dtype=torch.float64) - 1
    x_M3 = perceptron.fold_bias(x_M2)
    x_N3 = x_M3[(x_M3 @ w_3).abs() >= gap][: settings.samples]
    return x_N3, perceptron.output(w_3, x_N3), w_3


def figure(figure: Figure, settings: MistakeSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    bounds = np.concatenate([one.arrays["bounds"] for one in measured])
    mistakes = np.concatenate([one.arrays["mistakes"] for one in measured])
    ends = [0.5 * bounds.min(), 2 * bounds.max()]
    axes.plot(ends, ends, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label="the bound")
    axes.plot(bounds, mistakes, "o", color=SERIES[0], alpha=0.6, markersize=4, label="a data set")
    axes.set(xscale="log", yscale="log", xlabel="(R / γ)²", ylabel="mistakes made")
    axes.set_ylim(0.7, ends[1])
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="mistake-bound",
    sentence="On data that a line separates with margin γ, within radius R, the perceptron makes at most (R/γ)² "
    "mistakes.",
    source="Novikoff, On convergence proofs for perceptrons, Symposium on the Mathematical Theory of Automata, 1962",
    settings=MistakeSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="worst_share", at_most=1.0, why="the theorem"),
        Bar(number="converged", equals=1.0, why="after the last mistake a pass is free of them"),
    ),
    names={
        "worst_share": "mistakes / bound, the worst data set",
        "mean_share": "mistakes / bound, mean of the data sets",
        "converged": "share of the data sets on which the rule ended",
    },
    figure=figure,
    caption="Mistakes against the bound of each data set: all must lie below the dashed line",
    reading="γ is taken of the line that made the data, so the bound is a little looser than that of the widest "
    "margin. The worst data set of a seed reaches {worst_share} of its bound, the average one {mean_share}: the "
    "theorem is safe and rarely tight. The learning rate ({setting.rate}) only scales the weights and appears nowhere "
    "in the bound.",
)
