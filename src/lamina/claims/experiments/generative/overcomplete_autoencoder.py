"""An autoencoder whose code is wider than its input restores anomalies, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, readable
from lamina.tasks import likelihoods

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = {
    "bottleneck": "code of 4",
    "overcomplete": "code of 40",
    "denoising": "code of 40, denoising",
    "rectified": "code of 40, hidden ReLU layers of 64",
}


@dataclass(frozen=True, kw_only=True)
class OvercompleteSettings(Settings):
    samples: int = 300
    """of training; as many normal ones and as many anomalies are judged"""
    inputs: int = 20
    factors: int = 4
    """dimensions of the subspace near which the Gaussian samples lie, of variance 1 an input"""
    noise: float = 0.3
    """standard deviation off the subspace"""
    shift: float = 3.0
    """length of an anomaly's random shift; it is then scaled to the length it had"""
    code: int = 40
    """of the overcomplete autoencoders; the bottleneck's is ``factors``"""
    corruption: float = 0.5
    """standard deviation of the noise that the denoising one is trained with"""
    hidden: int = 64
    steps: int = 700
    every: int = 20
    """steps between two looks at the AUROC"""
    on_the_way: float = 1e-6
    """squared error over the input's square at which the AUROC is taken on the way"""
    lr: float = 0.05
    """of Adam on all samples at once, along half a cosine to 0; a fifth of it with ReLU layers"""


def measure(settings: OvercompleteSettings, seed: int) -> Measurement:
    draw = generator(seed, "data")
    mix_KF = torch.randn(settings.factors, settings.inputs, generator=draw, dtype=torch.float64)
    mix_KF /= mix_KF.norm(dim=0)
    train_NF, normal_NF, odd_NF = (_sample(settings, mix_KF, draw) for _ in range(3))
    shift_NF = torch.randn(odd_NF.shape, generator=draw, dtype=torch.float64)
    shifted_NF = odd_NF + settings.shift * shift_NF / shift_NF.norm(dim=1, keepdim=True)
    odd_NF = shifted_NF * odd_NF.norm(dim=1, keepdim=True) / shifted_NF.norm(dim=1, keepdim=True)

    judged_2NF = torch.stack([normal_NF, odd_NF]).float()
    numbers: dict[str, float] = {}
    arrays = {}
    for name in NETS:
        curve = _train(settings, name, train_NF.float(), judged_2NF, seed)
        numbers[name], numbers[f"{name}_error"] = curve[-1]
        arrays[name] = np.array(curve)
    learnt = [auroc for auroc, error in arrays["overcomplete"].tolist() if error < settings.on_the_way]
    numbers["on_the_way"] = learnt[0] if learnt else math.nan
    numbers["told"] = abs(numbers["overcomplete"] - 0.5)
    return Measurement(numbers=numbers, arrays=arrays)


def _sample(settings: OvercompleteSettings, mix_KF: Tensor, draw: torch.Generator) -> Tensor:
    """Normal samples (N, F)."""
    z_NK, noise_NF = (
        torch.randn(settings.samples, size, generator=draw, dtype=torch.float64)
        for size in (settings.factors, settings.inputs)
    )
    return z_NK @ mix_KF + settings.noise * noise_NF


def _judge(net: nn.Module, judged_2NF: Tensor) -> tuple[float, float]:
    """AUROC of the squared errors, and their mean for normal samples over those samples' mean square."""
    with torch.no_grad():
        restored_2NF = torch.stack([net(x_NF) for x_NF in judged_2NF])
    # in float64: the errors of an identity are rounding
    score_2N = (restored_2NF.double() - judged_2NF.double()).square().sum(2)
    above_NN = score_2N[1][:, None] - score_2N[0]
    auroc = (0.5 + 0.5 * above_NN.sign().mean()).item()
    return auroc, (score_2N[0].mean() / judged_2NF[0].double().square().sum(1).mean()).item()


def _train(
    settings: OvercompleteSettings, name: str, x_NF: Tensor, judged_2NF: Tensor, seed: int
) -> list[tuple[float, float]]:
    """AUROC and error at the start and after every few steps."""
    net = drawn(
        partial(
            create_model,
            "denoising-autoencoder" if name == "denoising" else "autoencoder",
            in_features=settings.inputs,
            hidden=(settings.hidden,) if name == "rectified" else (),
            latent=settings.factors if name == "bottleneck" else settings.code,
        ),
        seed,
        name,
    )
    noise, draw = settings.corruption if name == "denoising" else 0.0, generator(seed, "corruption")
    error = likelihoods.SquaredError()
    optimiser = torch.optim.Adam(net.parameters(), settings.lr / 5 if name == "rectified" else settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    curve = [_judge(net, judged_2NF)]
    for step in range(1, settings.steps + 1):
        noisy_NF = x_NF + noise * torch.randn(x_NF.shape, generator=draw) if noise else x_NF
        loss = error.negative_log_likelihood(net(noisy_NF), x_NF).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        if step % settings.every == 0:
            curve.append(_judge(net, judged_2NF))
    return curve


def figure(figure: Figure, settings: OvercompleteSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    steps = settings.every * np.arange(settings.steps // settings.every + 1)
    for i, (name, label) in enumerate(NETS.items()):
        curves_SP2 = np.stack([one.arrays[name] for one in measured])
        for axes, values_SP in ((left, curves_SP2[..., 0]), (right, curves_SP2[..., 1])):
            axes.plot(steps, values_SP.T, color=SERIES[i], linewidth=0.6, alpha=0.4)
            axes.plot(steps, np.median(values_SP, 0), color=SERIES[i], label=label)
    left.set(xlabel="step", ylabel="AUROC", ylim=(0.35, 1.02))
    right.set(yscale="log", xlabel="step", ylabel="squared error / square of the input")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    for axes in (left, right):
        readable(axes.xaxis)
        readable(axes.yaxis)


CLAIM = Claim(
    name="overcomplete-autoencoder",
    sentence="A linear autoencoder with a code wider than its input learns the identity; once it has, it tells "
    "anomalies from normal samples hardly better than chance (AUROC within 0.2 of 1/2). A bottleneck tells them (above "
    "0.95), and so does the wide one trained to denoise.",
    source="Vincent et al., Extracting and composing robust features with denoising autoencoders, ICML 2008; the use "
    "for anomalies: An & Cho, SNU Data Mining Center, 2015",
    loose="“An overcomplete autoencoder cannot find anomalies”: that is so of the identity. On the way there the "
    "errors of some trainings tell and of others do not, and one with ReLU layers may stay far from it off its data.",
    settings=OvercompleteSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="bottleneck", at_least=0.95, why="the anomalies lie off the subspace: they can be told"),
        Bar(number="told", at_most=0.2, why="0.3 to 0.7: what is left is rounding, which grows with the values"),
        Bar(number="denoising", at_least=0.95, why="the identity does not restore a clean sample from a noisy one"),
    ),
    names={
        **{name: f"AUROC, {label}" for name, label in NETS.items()},
        **{
            f"{name}_error": f"squared error over the square of normal samples, {label}" for name, label in NETS.items()
        },
        "told": "distance of the AUROC from 1/2, code of 40",
        "on_the_way": "AUROC when the error has fallen to 1e-6 of the input's square, code of 40",
    },
    figure=figure,
    caption="AUROC on samples that were not trained on (left) and their squared error (right) in training; thin lines "
    "for seeds, thick ones for their median",
    reading="Samples of {setting.inputs} inputs lie near a subspace of {setting.factors} dimensions; an anomaly is "
    "moved off it and keeps its length. A code of {setting.factors} tells them with an AUROC of {bottleneck:4}. A code "
    "of {setting.code} ends as the identity, to {overcomplete_error} of the input's square, with an AUROC of "
    "{overcomplete}. When its error had fallen to a millionth it was {on_the_way} on average, near 0.9 for some seeds "
    "and at chance for others. The same net trained to denoise has {denoising:4}. With ReLU layers the wide net stays "
    "at {rectified:4}: after {setting.steps} steps its error is {rectified_error} of the square, larger off its data, "
    "and nothing in its loss asks for that.",
    height=340,
)
