"""The best denoiser of Gaussian data is a line of known slope; what it removes points uphill in the density."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import variational
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, legend, readable
from lamina.tasks.likelihoods import SquaredError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class DenoiserSettings(Settings):
    deviation: float = 1.0
    """s of the data N(0, s²)"""
    noises: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """σ of the corruption, a linear denoiser each; the claim is about 0.5"""
    hidden: int = 32
    """of the denoiser of two Gaussians at ±1, tanh"""
    spread: float = 0.35
    """standard deviation of each of the two"""
    noise: float = 0.5
    """σ of their corruption"""
    batch: int = 512
    """fresh samples each step"""
    linear_steps: int = 600
    """Fixed at first as 250, too few for every start: the slopes of two of the five seeds were off by 0.009 and 0.015
    at σ = 0.5, the others by 0.002 or less."""
    steps: int = 800
    lr: float = 0.02
    """of Adam, along half a cosine to 0"""


def corrupt(x_B1: Tensor, noise: float, draw: torch.Generator) -> Tensor:
    """x + N(0, noise²)."""
    return x_B1 + noise * torch.randn(x_B1.shape, generator=draw)


def measure(settings: DenoiserSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    for noise in settings.noises:

        def gaussian(draw: torch.Generator) -> Tensor:
            return settings.deviation * torch.randn(settings.batch, 1, generator=draw)

        linear = drawn(_net((), 1), seed, "linear", noise)
        _train(settings, linear, gaussian, noise, settings.linear_steps, generator(seed, "gaussian", noise))
        with torch.no_grad():
            at = linear(torch.tensor([[0.0], [1.0]]))
        numbers[f"slope_{noise:g}"] = (at[1] - at[0]).item()
        best = variational.optimal_denoiser_slope(settings.deviation**2, noise**2)
        numbers[f"off_{noise:g}"] = abs(numbers[f"slope_{noise:g}"] - best)
    numbers["worst"] = max(numbers[f"off_{noise:g}"] for noise in settings.noises)

    def two(draw: torch.Generator) -> Tensor:
        sign_B1 = 2.0 * torch.randint(2, (settings.batch, 1), generator=draw) - 1
        return sign_B1 + settings.spread * torch.randn(settings.batch, 1, generator=draw)

    net = drawn(_net((settings.hidden,), 8), seed, "net")
    _train(settings, net, two, settings.noise, settings.steps, generator(seed, "two"))
    x_B1 = torch.linspace(-2, 2, 201)[:, None]
    with torch.no_grad():
        learnt_B = ((net(x_B1) - x_B1) / settings.noise**2)[:, 0].double()
    log_density_B, true_B = _two_noisy(settings, x_B1[:, 0].double())
    weight_B = log_density_B.softmax(0)
    missed, size = (weight_B * (learnt_B - true_B) ** 2).sum(), (weight_B * true_B**2).sum()
    numbers["score_error"] = (missed / size).sqrt().item()
    return Measurement(
        numbers=numbers,
        arrays={"x": x_B1[:, 0].double().numpy(), "learnt": learnt_B.numpy(), "true": true_B.numpy()},
    )


def _net(hidden: tuple[int, ...], latent: int) -> Callable[[], nn.Module]:
    return partial(
        create_model, "denoising-autoencoder", in_features=1, hidden=hidden, latent=latent, activation="tanh"
    )


def _train(
    settings: DenoiserSettings,
    net: nn.Module,
    sample: Callable[[torch.Generator], Tensor],
    noise: float,
    steps: int,
    draw: torch.Generator,
) -> None:
    """Restore clean samples from corrupted ones."""
    error = SquaredError()
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x_B1 = sample(draw)
        loss = error.negative_log_likelihood(net(corrupt(x_B1, noise, draw)), x_B1).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()


def _two_noisy(settings: DenoiserSettings, x_B: Tensor) -> tuple[Tensor, Tensor]:
    """log density of the corrupted mixture, up to a constant, and its derivative, (B,)."""
    x_B = x_B.clone().requires_grad_()
    variance = settings.spread**2 + settings.noise**2
    log_B = torch.logsumexp(torch.stack([-((x_B - m) ** 2) / (2 * variance) for m in (-1.0, 1.0)]), 0)
    (slope_B,) = torch.autograd.grad(log_B.sum(), x_B)
    return log_B.detach(), slope_B


def figure(figure: Figure, settings: DenoiserSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    noises = np.geomspace(settings.noises[0] / 1.3, settings.noises[-1] * 1.3, 100)
    left.plot(noises, settings.deviation**2 / (settings.deviation**2 + noises**2), color=MUTED, label="s²/(s² + σ²)")
    for one in measured:
        slopes = [one.numbers[f"slope_{noise:g}"] for noise in settings.noises]
        left.plot(settings.noises, slopes, "o", color=SERIES[0], markersize=5, alpha=0.5)
    left.set(xscale="log", xlabel="noise σ over the data's s", ylabel="slope of the denoiser")
    left.set_xticks(settings.noises, [f"{noise:g}" for noise in settings.noises])
    left.minorticks_off()
    first = measured[0].arrays
    right.plot(first["x"], first["true"], color=MUTED, linewidth=3, alpha=0.5, label="d log p / dx")
    right.plot(first["x"], first["learnt"], color=SERIES[1], label="(r(x) − x) / σ²")
    right.set(xlabel="x", ylabel="uphill in the density")
    for axes in (left, right):
        legend(axes)
        readable(axes.yaxis)
    readable(right.xaxis)


CLAIM = Claim(
    name="optimal-denoiser",
    sentence="A denoiser of data N(0, s²) under noise σ learns the slope s²/(s² + σ²), 0.8 for s = 1 and σ = 0.5; and "
    "(r(x) − x)/σ² of a denoiser r is the gradient of the log-density of the corrupted data.",
    source="Alain & Bengio, What regularized auto-encoders learn from the data-generating distribution, JMLR 15, 2014; "
    "Vincent et al., ICML 2008",
    arxiv="1211.4246",
    loose="“It learns the gradient of log p(x)”: at a finite σ exactly that of the corrupted density, of the clean "
    "one in the limit σ → 0.",
    settings=DenoiserSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="off_0.5", at_most=0.02, why="theory 0.8, measured before as 0.7986"),
        Bar(
            number="worst",
            at_most=0.04,
            why="the same at every noise, twice as wide, for the noise of training grows with σ",
        ),
        Bar(number="score_error", at_most=0.2, why="a fifth of the gradient's own size, weighed by density"),
    ),
    names={
        **{f"slope_{noise}": f"slope learnt, σ = {noise}" for noise in ("0.25", "0.5", "1", "2")},
        **{
            f"off_{noise}": f"distance of the slope from s²/(s² + σ²), σ = {noise}"
            for noise in ("0.25", "0.5", "1", "2")
        },
        "worst": "distance of the slope from s²/(s² + σ²), worst σ",
        "score_error": "error of (r(x) − x)/σ² as the gradient of log p, two Gaussians, relative",
    },
    figure=figure,
    caption="Slopes of linear denoisers against the noise, a dot for each seed (left); what a denoiser of two "
    "Gaussians removes, and the gradient of the log-density of the corrupted data (right, first seed)",
    reading="At σ = 0.5 the slope is {slope_0.5:4}, at 0.25, 1 and 2 {slope_0.25:4}, {slope_1:4} and {slope_2:4}; "
    "theory has 0.8, 0.9412, 0.5 and 0.2 (with 250 steps, as fixed at first, one seed was off by 0.015, a margin of "
    "1.4). With two Gaussians at ±1 the best denoiser is no line: what the net removes, over σ², differs from the "
    "gradient of the corrupted log-density by {score_error} of its size.",
)
