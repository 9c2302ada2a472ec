"""Eight Gaussians on a ring: which losses and nets cover their modes, the whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Array, Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.registry import create_model
from lamina.report.svg import INK, MUTED, SERIES
from lamina.tasks.sample_metrics.scores import modes_covered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = (
    "non-saturating",
    "non-saturating, slow D",
    "non-saturating, slow small D",
    "Wasserstein with penalty",
    "Wasserstein with penalty, slow D",
    "Wasserstein with penalty, slow small D",
    "non-saturating with R1",
)
"""in the order of the settings"""
KEYS = ("balanced", "slow", "small", "penalty", "penalty_slow", "penalty_small", "r1")


@dataclass(frozen=True, kw_only=True)
class RingSettings(Settings):
    steps: tuple[int, ...] = (4000, 3000, 4000, 1500, 1000, 2000, 4000)
    """of the generator, by row"""
    critic_steps: tuple[int, ...] = (1, 1, 1, 5, 5, 5, 1)
    """of the discriminator for each"""
    discriminator_lr: tuple[float, ...] = (1e-3, 1e-4, 1e-4, 1e-3, 1e-4, 1e-4, 1e-3)
    """of Adam; the generator's is 1e-3"""
    beta1: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.5)
    beta2: tuple[float, ...] = (0.999, 0.999, 0.999, 0.9, 0.9, 0.9, 0.999)
    generator_layers: tuple[int, ...] = (3, 3, 2, 3, 3, 2, 3)
    """hidden, of 128 rectified units"""
    discriminator_layers: tuple[int, ...] = (3, 3, 1, 3, 3, 1, 3)
    latent: tuple[int, ...] = (2, 2, 256, 2, 2, 256, 2)
    scale: tuple[float, ...] = (1.0, 1.414, 1.0, 1.414, 1.414, 1.0, 2.0)
    """that the data, of radius 2, are divided by"""
    penalty: tuple[float, ...] = (0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.0)
    r1: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1)
    lr: float = 1e-3
    width: int = 128
    batch: int = 256
    radius: float = 2.0
    std: float = 0.02
    samples: int = 4000
    """to count modes in: one is covered by 20 samples within 0.2 of its centre"""


def centres(settings: RingSettings) -> Tensor:
    angle_8 = torch.arange(8) * torch.pi / 4
    return settings.radius * torch.stack([angle_8.cos(), angle_8.sin()], 1)


def measure(settings: RingSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    arrays: dict[str, Array] = {}
    for row, key in enumerate(KEYS):
        points_N2 = train(settings, row, seed)
        modes, good = modes_covered(points_N2, centres(settings))
        numbers |= {f"modes_{key}": float(modes), f"good_{key}": good}
        arrays[key] = points_N2[:500].double().numpy()
    return Measurement(numbers=numbers, arrays=arrays)


def train(settings: RingSettings, row: int, seed: int) -> Tensor:
    """Samples (N, 2) of the generator that was trained as a row says."""
    net: Any = drawn(partial(_net, settings, row), seed, "weights", row)
    draw, wasserstein = generator(seed, "training", row), settings.penalty[row] > 0
    betas = settings.beta1[row], settings.beta2[row]
    generating = torch.optim.Adam(net.generator.parameters(), settings.lr, betas)
    judging = torch.optim.Adam(net.discriminator.parameters(), settings.discriminator_lr[row], betas)
    centre_82 = centres(settings)
    if wasserstein:
        discriminator_loss, generator_loss = (
            adversarial.wasserstein_critic_loss,
            adversarial.wasserstein_generator_loss,
        )
    else:
        discriminator_loss, generator_loss = (
            adversarial.minimax_discriminator_loss,
            adversarial.non_saturating_generator_loss,
        )
    for _ in range(settings.steps[row]):
        for _ in range(settings.critic_steps[row]):
            mode_B = torch.randint(8, (settings.batch,), generator=draw)
            real_B2 = centre_82[mode_B] + settings.std * torch.randn(settings.batch, 2, generator=draw)
            real_B2 = real_B2 / settings.scale[row]
            with torch.no_grad():
                fake_B2 = net.generator(torch.randn(settings.batch, settings.latent[row], generator=draw))
            loss = discriminator_loss(net.discriminator(real_B2), net.discriminator(fake_B2))
            if wasserstein:
                mixed_B2 = adversarial.interpolates(real_B2, fake_B2, torch.rand(settings.batch, generator=draw))
                loss = loss + settings.penalty[row] * adversarial.gradient_penalty(net.discriminator, mixed_B2)
            if settings.r1[row]:
                loss = loss + settings.r1[row] * adversarial.r1_penalty(net.discriminator, real_B2)
            judging.zero_grad()
            torch.autograd.backward(loss)
            judging.step()
        fake_B2 = net.generator(torch.randn(settings.batch, settings.latent[row], generator=draw))
        generating.zero_grad()
        torch.autograd.backward(generator_loss(net.discriminator(fake_B2)))
        generating.step()
    with torch.no_grad():
        points_N2: Tensor = net.generator(torch.randn(settings.samples, settings.latent[row], generator=draw))
    return points_N2 * settings.scale[row]


def _net(settings: RingSettings, row: int) -> Any:
    return create_model(
        "gan-toy",
        latent=settings.latent[row],
        generator_hidden=(settings.width,) * settings.generator_layers[row],
        discriminator_hidden=(settings.width,) * settings.discriminator_layers[row],
    )


def figure(figure: Figure, settings: RingSettings, measured: Sequence[Measurement]) -> None:
    every = figure.subplots(2, 4).flat
    at = centres(settings).numpy()
    for i, (axes, key, row) in enumerate(zip(every, KEYS, ROWS, strict=False)):
        points = measured[0].arrays[key][::3]
        axes.plot(points[:, 0], points[:, 1], ".", markersize=2, color=SERIES[i % 3], alpha=0.5)
        axes.plot(at[:, 0], at[:, 1], "+", markersize=5, color=INK, markeredgewidth=0.8)
        modes = ", ".join(f"{one.numbers[f'modes_{key}']:g}" for one in measured)
        axes.set_title(row.replace(", ", ",\n").replace(" with", "\nwith"), fontsize=7.5, color=INK)
        axes.set_xlabel(f"modes {modes}", fontsize=7.5, color=MUTED)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
        axes.grid(visible=False)
    every[len(KEYS)].axis("off")


CLAIM = Claim(
    name="modes-on-the-ring",
    sentence="On a ring of eight Gaussians a discriminator that learns ten times slower than its generator leaves a "
    "non-saturating GAN with two modes or fewer; WGAN-GP at equal rates covers seven or more.",
    source="Gulrajani et al., Improved training of Wasserstein GANs, NIPS 2017; Metz et al., Unrolled generative "
    "adversarial networks, ICLR 2017 (the ring)",
    arxiv="1704.00028",
    loose="“A GAN collapses, a WGAN-GP does not”: the table does not say so. What separates its rows is a critic that "
    "keeps up with the generator, not the loss: WGAN-GP with a slow critic fails, too, and samples that are nowhere "
    "near the data are no collapse but no convergence.",
    settings=RingSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="modes_slow", at_most=2, why="the discriminator's rate is a tenth"),
        Bar(number="modes_small", at_most=2, why="a tenth of the rate and one hidden layer"),
        Bar(number="modes_penalty", at_least=7, why="measured before as 8 and 8"),
    ),
    names={
        **{f"modes_{key}": f"modes covered, {row}" for key, row in zip(KEYS, ROWS, strict=True)},
        **{
            f"good_{key}": f"share of samples within 0.2 of a centre, {row}"
            for key, row in zip(KEYS, ROWS, strict=True)
        },
    },
    figure=figure,
    caption="167 samples of each setting, seed 0, the centres as crosses; below, modes covered, by seed",
    reading="Modes covered of 8 and share of samples within 0.2 of a centre, means over seeds. Non-saturating, equal "
    "rates: {modes_balanced}, {good_balanced}; D at a tenth of the rate: {modes_slow}, {good_slow}; that and a small "
    "D: {modes_small}, {good_small}. WGAN-GP, equal rates: {modes_penalty}, {good_penalty}; slow critic: "
    "{modes_penalty_slow}, {good_penalty_slow}; that and a small one: {modes_penalty_small}, {good_penalty_small}. "
    "Non-saturating with R1: {modes_r1}, {good_r1}. The settings are those of earlier, single measurements, other "
    "steps and scales from row to row among them.",
    width=640,
    height=360,
)
