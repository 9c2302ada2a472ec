"""A mean over dimensions in place of a sum is another beta, and its factor can be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.digits import Loss, digits, elbo_parts, parts, train_vae
from lamina.equations import variational
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REDUCTIONS: dict[str, Loss] = {
    "right": lambda log_BF, kl_BL: kl_BL.sum(1).mean() - log_BF.sum(1).mean(),
    "mean_pixels": lambda log_BF, kl_BL: kl_BL.sum(1).mean() - log_BF.mean(),
    "mean_latent": lambda log_BF, kl_BL: kl_BL.mean() - log_BF.sum(1).mean(),
    "both_means": lambda log_BF, kl_BL: kl_BL.mean() - log_BF.mean(),
    "sum_batch": lambda log_BF, kl_BL: kl_BL.sum(1).mean() - log_BF.sum(),
}
"""as they are found in public code"""
LABELS = {
    "right": "sums",
    "mean_pixels": "mean over pixels, sum over the latent",
    "mean_latent": "sum over pixels, mean over the latent",
    "both_means": "means of both",
    "sum_batch": "sum over pixels and batch, KL a mean over the batch",
}


@dataclass(frozen=True, kw_only=True)
class ReductionSettings(Settings):
    hidden: int = 64
    latent: int = 8
    """of a VAE of the 8 × 8 digits, Bernoulli"""
    batch: int = 100
    steps: int = 300
    lr: float = 4e-3
    """of Adam, along half a cosine to 0"""
    draws: int = 5
    """of z for each of the 297 test digits"""


def factors(settings: ReductionSettings, inputs: int) -> dict[str, float]:
    """The beta that each reduction amounts to."""
    return {
        "right": 1.0,
        "mean_pixels": float(inputs),
        "mean_latent": 1 / settings.latent,
        "both_means": inputs / settings.latent,
        "sum_batch": 1 / settings.batch,
    }


def measure(settings: ReductionSettings, seed: int) -> Measurement:
    train_NF, test_NF = digits(seed)
    inputs = train_NF.shape[1]
    numbers: dict[str, float] = {}
    found = _betas(settings, train_NF[: settings.batch].double(), seed)
    for name, factor in factors(settings, inputs).items():
        numbers[f"beta_{name}"], residual = found[name]
        numbers[f"off_{name}"] = max(abs(numbers[f"beta_{name}"] / factor - 1), residual)
    numbers["off"] = max(numbers[f"off_{name}"] for name in REDUCTIONS)
    for name in ("right", "mean_pixels"):
        net = train_vae(settings, train_NF, seed, loss=REDUCTIONS[name])
        log_likelihood, numbers[f"kl_{name}"] = elbo_parts(net, test_NF, seed, settings.draws)
        numbers[f"reconstruction_{name}"] = -log_likelihood
    net = train_vae(settings, train_NF, seed, beta=float(inputs))
    _, numbers["kl_beta"] = elbo_parts(net, test_NF, seed, settings.draws)
    numbers["left"] = numbers["kl_mean_pixels"] / numbers["kl_right"]
    return Measurement(numbers=numbers)


def _betas(settings: ReductionSettings, x_BF: Tensor, seed: int) -> dict[str, tuple[float, float]]:
    """For each reduction the b for which its gradient is a multiple of that of -log p(x|z) + b KL, by least squares
    over all weights in float64, and the relative residual."""
    sizes = {"in_features": x_BF.shape[1], "hidden": (settings.hidden,), "latent": settings.latent}
    net: Any = drawn(partial(create_model, "vae", **sizes), seed, "weights").double()
    log_BF, kl_BL = parts(net, x_BF, generator(seed, "gradients"))
    weights = list(net.parameters())

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)]
        )

    nothing = torch.zeros((), dtype=torch.float64)
    whole = gradient(variational.negative_elbo(log_BF.sum(1), kl_BL.sum(1), beta=1.0))
    reconstruction = gradient(variational.negative_elbo(log_BF.sum(1), nothing))
    columns_P2 = torch.stack([reconstruction, whole - reconstruction], 1)
    found = {}
    for name, loss in REDUCTIONS.items():
        wrong_P = gradient(loss(log_BF, kl_BL))
        scale_2 = torch.linalg.lstsq(columns_P2, wrong_P[:, None]).solution[:, 0]
        residual = (columns_P2 @ scale_2 - wrong_P).norm() / wrong_P.norm()
        found[name] = ((scale_2[1] / scale_2[0]).item(), residual.item())
    return found


def figure(figure: Figure, settings: ReductionSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for row, name in enumerate(REDUCTIONS):
        axes.plot([1, measured[0].numbers[f"beta_{name}"]], [row, row], color=MUTED, linewidth=1)
        betas = [one.numbers[f"beta_{name}"] for one in measured]
        axes.plot(betas, np.full(len(betas), row), "o", color=SERIES[int(row > 0)], markersize=7)
    axes.set(xscale="log", xlabel="beta that it amounts to, from the gradient", ylim=(len(REDUCTIONS) - 0.5, -0.5))
    axes.set_yticks(range(len(REDUCTIONS)), list(LABELS.values()))
    readable(axes.xaxis)


CLAIM = Claim(
    name="reductions-change-beta",
    sentence="A mean in place of a sum is another beta: D times it for a mean over the D pixels, 1/L for one over the "
    "L latent dimensions, D/L for both, 1/B for a reconstruction summed over the batch; with a mean over 64 pixels "
    "less than a tenth of the divergence is left.",
    source="the loss: Kingma & Welling, Auto-encoding variational Bayes, ICLR 2014; Higgins et al., beta-VAE, ICLR "
    "2017; the reductions: AntixK/PyTorch-VAE issue 68, orybkin/sigma-vae-tensorflow issue 2",
    arxiv="1312.6114",
    loose="“Reconstruction loss plus KL”, with MSE as a library computes it, by default a mean over everything: for "
    "784 pixels that is beta = 784.",
    settings=ReductionSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="off", at_most=1e-9, why="a constant factor of either term: float64 rounding at most"),
        Bar(number="left", at_most=0.1, why="beta = 64 where the paper's is 1: the posterior collapses, nearly"),
    ),
    names={
        "off": "largest relative difference of beta from its factor, or residual",
        "left": "divergence after training with a mean over pixels / with sums",
        **{f"beta_{name}": f"beta from the gradient: {label}" for name, label in LABELS.items()},
        **{
            f"off_{name}": f"relative difference of beta from its factor, or residual: {label}"
            for name, label in LABELS.items()
        },
        "kl_right": "divergence in nats, sums",
        "kl_mean_pixels": "divergence in nats, mean over pixels",
        "kl_beta": "divergence in nats, sums, beta = 64",
        "reconstruction_right": "−E log p(x|z) in nats, sums",
        "reconstruction_mean_pixels": "−E log p(x|z) in nats, mean over pixels",
    },
    figure=figure,
    caption="The beta for which the gradient of the whole net is that of each reduction, up to its length",
    reading="With 64 pixels, {setting.latent} latent dimensions and batches of {setting.batch} the gradients give "
    "beta = {beta_mean_pixels}, {beta_mean_latent}, {beta_both_means} and {beta_sum_batch} for the four wrong "
    "reductions, exact to {off}. Trained with a mean over pixels a VAE of digits keeps {kl_mean_pixels} nats of "
    "divergence (with sums {kl_right}; with sums and beta = 64 {kl_beta}), and the reconstruction goes from "
    "{reconstruction_right} to {reconstruction_mean_pixels} nats.",
    width=640,
)
