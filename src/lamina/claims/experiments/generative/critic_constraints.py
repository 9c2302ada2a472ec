"""A gradient penalty keeps the critic's gradient near 1; clipping pushes its weights to the bounds."""

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
from lamina.equations import adversarial
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ConstraintSettings(Settings):
    width: int = 128
    """of the critic's three layers"""
    batch: int = 256
    steps: int = 600
    """of the critic, facing samples N(0, 0.25) of a generator that stands still"""
    penalty: float = 10.0
    penalty_lr: float = 1e-3
    """of Adam (0.5, 0.9)"""
    clips: tuple[float, float] = (0.01, 0.1)
    """a critic each: every weight within this of 0, and drawn there at first"""
    clip_lr: float = 5e-4
    """of RMSProp"""


def real(settings: ConstraintSettings, draw: torch.Generator) -> Tensor:
    """Eight Gaussians on a ring of radius 1."""
    angle_B = torch.randint(8, (settings.batch,), generator=draw) * torch.pi / 4
    noise_B2 = 0.01 * torch.randn(settings.batch, 2, generator=draw)
    return torch.stack([angle_B.cos(), angle_B.sin()], 1) + noise_B2


def measure(settings: ConstraintSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    for name, bound in {"penalty": None, "small": settings.clips[0], "large": settings.clips[1]}.items():
        critic: Any = drawn(partial(_critic, settings), seed, "weights")
        draw = generator(seed, "training", name)
        optimiser: torch.optim.Optimizer = torch.optim.Adam(critic.parameters(), settings.penalty_lr, (0.5, 0.9))
        if bound is not None:
            _shrink(critic, bound)
            optimiser = torch.optim.RMSprop(critic.parameters(), settings.clip_lr)
        for _ in range(settings.steps):
            real_B2, fake_B2 = real(settings, draw), 0.5 * torch.randn(settings.batch, 2, generator=draw)
            loss = adversarial.wasserstein_critic_loss(critic(real_B2), critic(fake_B2))
            if bound is None:
                mixed_B2 = adversarial.interpolates(real_B2, fake_B2, torch.rand(settings.batch, generator=draw))
                loss = loss + settings.penalty * adversarial.gradient_penalty(critic, mixed_B2)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            if bound is not None:
                adversarial.clip_weights(critic.parameters(), bound)
        real_B2, fake_B2 = real(settings, draw), 0.5 * torch.randn(settings.batch, 2, generator=draw)
        mixed_B2 = adversarial.interpolates(real_B2, fake_B2, torch.rand(settings.batch, generator=draw))
        norm_B = adversarial.input_gradient(critic, mixed_B2).detach().norm(dim=1)
        numbers[f"norm_{name}"] = norm_B.mean().item()
        arrays[f"norms_{name}"] = norm_B.double().numpy()
        if bound is not None:
            weights_W = torch.cat([weight.detach().flatten() for weight in critic.parameters()])
            numbers[f"bounded_{name}"] = (weights_W.abs() >= 0.999 * bound).double().mean().item()
            arrays[f"weights_{name}"] = (weights_W / bound).double().numpy()
    numbers["norm_off"] = abs(numbers["norm_penalty"] - 1)
    return Measurement(numbers=numbers, arrays=arrays)


def _critic(settings: ConstraintSettings) -> Any:
    return create_model("gan-toy", discriminator_hidden=(settings.width,) * 3).discriminator


@torch.no_grad()
def _shrink(critic: Any, bound: float) -> None:
    """Weights of each layer uniform within the bound."""
    for weight in critic.parameters():
        weight.mul_(bound / weight.abs().max().clamp_min(1e-12))


def figure(figure: Figure, settings: ConstraintSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    small, large = settings.clips
    named = {"penalty": "penalty", "small": f"clipped, {small:g}", "large": f"clipped, {large:g}"}
    bins = np.geomspace(1e-5, 100, 71).tolist()
    for i, (name, label) in enumerate(named.items()):
        every = np.concatenate([one.arrays[f"norms_{name}"] for one in measured])
        left.hist(np.maximum(every, 1e-5), bins, color=SERIES[i], alpha=0.6, label=label)
    left.set(xscale="log", xlabel="norm of the critic's gradient", ylabel="samples")
    left.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    legend(left, columns=3)
    weights = np.concatenate([one.arrays["weights_large"] for one in measured])
    right.hist(weights, np.linspace(-1, 1, 62).tolist(), color=SERIES[2], alpha=0.6)
    right.set(xlabel=f"weight over its bound, {large:g}", ylabel="weights")
    for axes in (left, right):
        readable(axes.xaxis)
        readable(axes.yaxis, whole=True)


CLAIM = Claim(
    name="critic-constraints",
    sentence="Under a gradient penalty the norm of the critic's gradient between data and samples is near 1; clipping "
    "pushes its weights to the bounds, and the gradient vanishes or explodes with the bound.",
    source="Gulrajani et al., Improved training of Wasserstein GANs, NIPS 2017, section 3 and figure 1",
    arxiv="1704.00028",
    loose="“Clipping makes a critic 1-Lipschitz”: it bounds the slope by a number that depends on depth, width and "
    "bound, and is far from 1 either way.",
    settings=ConstraintSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="norm_off", at_most=0.2, why="a mean norm from 0.8 to 1.2"),
        Bar(number="bounded_large", at_least=0.4, why="two in five weights at a bound; none were at first"),
        Bar(number="norm_small", at_most=0.1, why="a tenth of what the estimate of the distance assumes"),
        Bar(number="norm_large", at_least=3, why="three times what it assumes"),
    ),
    names={
        "norm_penalty": "mean norm of the gradient at interpolates, penalty",
        "norm_off": "its difference from 1",
        "norm_small": "mean norm of the gradient at interpolates, clipped to ±0.01",
        "norm_large": "mean norm of the gradient at interpolates, clipped to ±0.1",
        "bounded_small": "share of weights at a bound, clipped to ±0.01",
        "bounded_large": "share of weights at a bound, clipped to ±0.1",
    },
    figure=figure,
    caption="Gradients of three critics at interpolates, and the weights of a clipped one, all seeds",
    reading="The mean norm is {norm_penalty} under the penalty, {norm_small} under clipping to ±0.01 and {norm_large} "
    "to ±0.1; {bounded_small} and {bounded_large} of the weights are then at a bound, where next to none were at "
    "first. The bounds were chosen on other seeds, to show both sides.",
    width=640,
)
