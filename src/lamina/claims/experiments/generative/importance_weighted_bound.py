"""More importance samples, a tighter bound of log p(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.digits import digits, train_vae
from lamina.equations import variational
from lamina.report.svg import MUTED, SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class BoundSettings(Settings):
    samples: tuple[int, ...] = (1, 4, 16, 64, 256)
    """k; each bound is the mean over groups of k of the same draws"""
    inputs: int = 6
    factors: int = 2
    """of a linear Gaussian model x = W z + N(0, 1), W N(0, 1), whose log p(x) is known, in float64"""
    points: int = 500
    """x drawn from it"""
    widening: float = 1.5
    """standard deviations of q over those of the posterior, off the mean of which it is by a half of one"""
    hidden: int = 64
    latent: int = 8
    """of a VAE of the 8 × 8 digits, Bernoulli"""
    batch: int = 100
    steps: int = 300
    lr: float = 4e-3
    """of Adam, along half a cosine to 0"""


def measure(settings: BoundSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    log_joint_BK, log_q_BK, log_p_B, elbo_B = _linear(settings, generator(seed, "linear"))
    for name, weights in (("linear", (log_joint_BK, log_q_BK)), ("vae", _vae(settings, seed))):
        for k in settings.samples:
            numbers[f"{name}_{k}"] = _bound(*weights, k)
        bounds = [numbers[f"{name}_{k}"] for k in settings.samples]
        numbers[f"{name}_rise"] = max(min(b - a for a, b in pairwise(bounds)), 0.0)
    numbers["log_p"], numbers["elbo"] = log_p_B.mean().item(), elbo_B.mean().item()
    error = (log_joint_BK - log_q_BK).std(1) / math.sqrt(log_q_BK.shape[1])
    numbers["elbo_off"] = abs(numbers["linear_1"] - numbers["elbo"]) / (
        error.square().mean().sqrt().item() / math.sqrt(len(error))
    )
    numbers["above"] = max(0.0, *(numbers[f"linear_{k}"] - numbers["log_p"] for k in settings.samples))
    last = settings.samples[-1]
    numbers["left"] = (numbers["log_p"] - numbers[f"linear_{last}"]) / (numbers["log_p"] - numbers["elbo"])
    numbers["left"] = abs(numbers["left"])
    return Measurement(numbers=numbers)


def _bound(log_joint_BK: Tensor, log_q_BK: Tensor, k: int) -> float:
    """Mean over samples and groups of k."""
    groups = [log_BK.reshape(-1, k) for log_BK in (log_joint_BK, log_q_BK)]
    return variational.importance_weighted_bound(groups[0], groups[1]).mean().item()


def _linear(settings: BoundSettings, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p(x, z) and log q(z|x) of the draws, (B, K), log p(x) and the ELBO, (B,), both in closed form."""
    B, F, L, K = settings.points, settings.inputs, settings.factors, settings.samples[-1]

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw, dtype=torch.float64)

    w_FL = torch.linalg.qr(normal(F, L)).Q * (1 + torch.rand(L, generator=draw, dtype=torch.float64))
    x_BF = normal(B, L) @ w_FL.T + normal(B, F)
    # W^T W is diagonal: so is the posterior
    precision_L = 1 + (w_FL**2).sum(0)
    deviation_L = precision_L.rsqrt()
    posterior_BL = x_BF @ w_FL / precision_L
    mean_BL = posterior_BL + 0.5 * deviation_L
    log_variance_BL = (2 * (settings.widening * deviation_L).log()).expand(B, L)
    z_BKL = mean_BL[:, None] + torch.exp(0.5 * log_variance_BL)[:, None] * normal(B, K, L)
    log_q_BK = _density(z_BKL, mean_BL[:, None], log_variance_BL[:, None])
    zero = torch.zeros((), dtype=torch.float64)
    log_joint_BK = _density(z_BKL, zero, zero) + _density(x_BF[:, None], z_BKL @ w_FL.T, zero)
    covariance_FF = w_FL @ w_FL.T + torch.eye(F, dtype=torch.float64)
    squares_B = (x_BF @ torch.linalg.inv(covariance_FF) * x_BF).sum(1)
    log_p_B = -0.5 * (F * variational.LOG_2PI + torch.logdet(covariance_FF) + squares_B)
    exact = posterior_BL, (2 * deviation_L.log()).expand(B, L)
    return log_joint_BK, log_q_BK, log_p_B, log_p_B - variational.kl_between_gaussians(mean_BL, log_variance_BL, *exact)


def _density(x_BKD: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, variance), (B, K)."""
    size = (x_BKD - mean).shape
    rows = (of.expand(size).flatten(0, 1) for of in (x_BKD, mean, log_variance))
    return variational.gaussian_log_density(*rows).view(size[:2])


def _vae(settings: BoundSettings, seed: int) -> tuple[Tensor, Tensor]:
    """log p(x, z) and log q(z|x) of a trained VAE on test digits, (B, K)."""
    train_NF, x_BF = digits(seed)
    net: Any = train_vae(settings, train_NF, seed)
    draw, K = generator(seed, "bound"), settings.samples[-1]
    with torch.no_grad():
        mean_BL, log_variance_BL = net.encode(x_BF)
        noise_BKL = torch.randn(len(x_BF), K, settings.latent, generator=draw)
        z_BKL = mean_BL[:, None] + torch.exp(0.5 * log_variance_BL)[:, None] * noise_BKL
        logits_MF = net.decode(z_BKL.flatten(0, 1))
        log_x_BK = variational.bernoulli_log_likelihood(x_BF.repeat_interleave(K, 0), logits_MF).view(-1, K)
    zero = torch.zeros(())
    log_q_BK = _density(z_BKL, mean_BL[:, None], log_variance_BL[:, None])
    return (log_x_BK + _density(z_BKL, zero, zero)).double(), log_q_BK.double()


def figure(figure: Figure, settings: BoundSettings, measured: Sequence[Measurement]) -> None:
    for axes, (name, title) in zip(
        figure.subplots(1, 2), (("linear", "linear Gaussian model"), ("vae", "VAE of digits")), strict=True
    ):
        for i, one in enumerate(measured):
            bounds = np.array([one.numbers[f"{name}_{k}"] for k in settings.samples])
            most = one.numbers["log_p"] if name == "linear" else bounds[-1]
            axes.plot(settings.samples, bounds - most, "o-", color=SERIES[i], markersize=3, label=f"{i}")
        axes.axhline(0, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set(xscale="log", xlabel="importance samples k")
        axes.set_xticks(settings.samples, [str(k) for k in settings.samples])
        axes.minorticks_off()
        axes.set_title(title, loc="left")
        readable(axes.yaxis)
    left, right = figure.axes
    left.set(ylabel="bound − log p(x), nats")
    right.set(ylabel="bound − that of the largest k, nats")


_SAMPLES = BoundSettings().samples

CLAIM = Claim(
    name="importance-weighted-bound",
    sentence="The importance-weighted bound is the ELBO for one sample, rises with every further one and stays below "
    "log p(x), to which it tends.",
    source="Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, ICLR 2016, theorem 1",
    arxiv="1509.00519",
    loose="“It is log p(x)”: a lower bound of it, whatever the number of samples; figures with another k do not "
    "compare.",
    settings=BoundSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="linear_rise", at_least=1e-3, why="a mean of logarithms lies below the logarithm of the mean"),
        Bar(number="vae_rise", at_least=1e-3, why="the same for a VAE"),
        Bar(number="elbo_off", at_most=6.0, why="k = 1 is the closed ELBO, within its standard errors"),
        Bar(number="above", at_most=0.01, why="never above log p(x), but for the noise of the mean over points"),
        Bar(number="left", at_most=0.02, why="of the gap of the ELBO less than 2 % is left at k = 256"),
    ),
    names={
        "linear_rise": "least rise from one k to the next in nats, linear model",
        "vae_rise": "least rise from one k to the next in nats, VAE of digits",
        "elbo_off": "distance of the bound at k = 1 from the closed ELBO in standard errors",
        "above": "nats by which a bound lies above log p(x)",
        "left": "share of the gap of the ELBO that is left at k = 256",
        "log_p": "log p(x) of the linear model",
        "elbo": "ELBO of the linear model, closed form",
        **{f"linear_{k}": f"bound, k = {k}, linear model" for k in _SAMPLES},
        **{f"vae_{k}": f"bound, k = {k}, VAE of digits" for k in _SAMPLES},
    },
    figure=figure,
    caption="The bound against the number of samples: below the known log p(x) of a linear Gaussian model (left), "
    "below its value at the largest k for a VAE of digits (right); a line for each seed",
    reading="In the linear model log p(x) is {log_p:4} (mean over points and seeds) and the ELBO {elbo:4}; the bound "
    "is {linear_1:4}, {linear_4:4}, {linear_16:4}, {linear_64:4} and {linear_256:4} for k = 1, 4, 16, 64 and 256. That "
    "of a VAE of digits goes from {vae_1:4} to {vae_256:4}.",
)
