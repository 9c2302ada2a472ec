"""The closed form of the divergence of a Gaussian from the standard normal is the mean of log q - log p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import variational
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KNOWN_MEAN, KNOWN_LOG_VARIANCE, KNOWN = (0.5, -1.0), (0.2, -0.7), 0.733994


@dataclass(frozen=True, kw_only=True)
class KLSettings(Settings):
    gaussians: int = 20
    """q, of means N(0, 1) and log-variances N(0, 1), in float64"""
    dimensions: int = 5
    samples: int = 100_000
    """of each q"""


def measure(settings: KLSettings, seed: int) -> Measurement:
    draw = generator(seed, "tensors")
    size = (settings.gaussians, settings.dimensions)
    mean_GL, log_variance_GL, other_mean_GL, other_log_variance_GL = (
        torch.randn(size, generator=draw, dtype=torch.float64) for _ in range(4)
    )
    zeros_GL = torch.zeros_like(mean_GL)
    standard_G = variational.kl_to_standard_normal(mean_GL, log_variance_GL)
    general_G = variational.kl_between_gaussians(mean_GL, log_variance_GL, other_mean_GL, other_log_variance_GL)
    off: dict[str, list[float]] = {"standard": [], "general": []}
    differences = []
    for g in range(settings.gaussians):
        q = mean_GL[g], log_variance_GL[g]
        noise_NL = torch.randn(settings.samples, settings.dimensions, generator=draw, dtype=torch.float64)
        z_NL = variational.reparameterise(*q, noise_NL)
        log_q_N = variational.gaussian_log_density(z_NL, *q)
        for name, closed_G, p in (
            ("standard", standard_G, (zeros_GL[g], zeros_GL[g])),
            ("general", general_G, (other_mean_GL[g], other_log_variance_GL[g])),
        ):
            term_N = log_q_N - variational.gaussian_log_density(z_NL, *p)
            off[name].append(abs((term_N.mean() - closed_G[g]) / _standard_error(term_N)).item())
            if name == "standard" and g == 0:
                differences.append((term_N / closed_G[g]).numpy())
    known = variational.kl_to_standard_normal(*_one(KNOWN_MEAN, KNOWN_LOG_VARIANCE))
    none = variational.kl_to_standard_normal(zeros_GL, zeros_GL)
    nats = np.cumsum(differences[0]) / np.arange(1, settings.samples + 1)
    places = np.unique(np.geomspace(10, settings.samples, 200).astype(int))
    return Measurement(
        numbers={
            "known": abs(known.item() - KNOWN),
            "standard": max(off["standard"]),
            "general": max(off["general"]),
            "prior": none.abs().max().item(),
            "least": standard_G.min().item(),
        },
        arrays={"samples": places.astype(float), "estimate": nats[places - 1]},
    )


def _standard_error(x_N: Tensor) -> Tensor:
    return x_N.std() / math.sqrt(len(x_N))


def _one(*rows: tuple[float, ...]) -> list[Tensor]:
    return [torch.tensor([row], dtype=torch.float64) for row in rows]


def figure(figure: Figure, settings: KLSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        axes.plot(one.arrays["samples"], one.arrays["estimate"], color=SERIES[i], linewidth=1.3, label=f"seed {i}")
    axes.axhline(1, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set(xscale="log", xlabel="samples of q", ylabel="mean of log q − log p / closed form")
    legend(axes, columns=5)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="kl-closed-form",
    sentence="KL(N(μ, σ²) ‖ N(0, 1)) = −½ Σ (1 + log σ² − μ² − σ²) is what sampling gives: the mean of log q − log p "
    "over draws of q; it is 0 for μ = 0, σ = 1.",
    source="Kingma & Welling, Auto-encoding variational Bayes, ICLR 2014, appendix B",
    arxiv="1312.6114",
    loose="“The encoder gives μ and σ” or “the variance”: nets give μ and log σ², and what is read as one of them and "
    "is the other changes the divergence.",
    settings=KLSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="known", at_most=1e-6, why="0.733994 for μ = (0.5, −1), log σ² = (0.2, −0.7): its last digit"),
        Bar(number="standard", at_most=8.0, why="Gaussian errors, the largest of 20, stay below 4 standard errors"),
        Bar(number="general", at_most=8.0, why="the same between any two Gaussians"),
        Bar(number="prior", at_most=1e-12, why="the distance of the prior from itself"),
    ),
    names={
        "known": "distance of the closed form from 0.733994 nats",
        "standard": "largest distance from the mean of samples in standard errors, to N(0, 1)",
        "general": "largest distance from the mean of samples in standard errors, to another Gaussian",
        "prior": "divergence at μ = 0, σ = 1",
        "least": "least divergence of the Gaussians drawn, in nats",
    },
    figure=figure,
    caption="The mean of log q − log p over the samples so far, divided by the closed form; one Gaussian for each seed",
    reading="Over {setting.gaussians} Gaussians of {setting.dimensions} dimensions and {setting.samples} samples each "
    "the closed form is at most {standard} standard errors from the mean of samples, and {general} between two "
    "Gaussians. The least divergence among them is {least} nats; at the prior itself it is {prior}.",
)
