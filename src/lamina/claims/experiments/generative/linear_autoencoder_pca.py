"""A linear autoencoder finds the subspace of the principal components."""

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
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, legend, readable
from lamina.tasks import likelihoods

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class LinearSettings(Settings):
    samples: int = 500
    inputs: int = 10
    decay: float = 0.8
    """ratio of neighbouring standard deviations of the data: Gaussian, turned at random and centred, in float64"""
    latent: int = 3
    steps: int = 1000
    lr: float = 0.02
    """of Adam on all samples at once, along half a cosine to 0"""


def measure(settings: LinearSettings, seed: int) -> Measurement:
    x_NF, k = _data(settings, generator(seed, "data")), settings.latent
    model: Any = drawn(
        partial(create_model, "autoencoder", in_features=settings.inputs, hidden=(), latent=k), seed, "weights"
    ).double()
    error = likelihoods.SquaredError()
    axes_FF = torch.linalg.svd(x_NF, full_matrices=False).Vh.T
    best = error.negative_log_likelihood(x_NF @ axes_FF[:, :k] @ axes_FF[:, :k].T, x_NF).mean().item()

    optimiser = torch.optim.Adam(model.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    losses: list[float] = []
    for _ in range(settings.steps):
        loss = error.negative_log_likelihood(model(x_NF), x_NF).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    reached = torch.nn.functional.mse_loss(model(x_NF), x_NF, reduction="sum").item() / len(x_NF)

    decoder_FK, encoder_FK = model.decoder.output.weight.detach(), model.latent.weight.detach().T
    columns_FK = decoder_FK / decoder_FK.norm(dim=0)
    nearest_K = (axes_FF[:, :k].T @ columns_FK).abs().amax(0)
    return Measurement(
        numbers={
            "pca": best,
            "autoencoder": reached,
            "excess": abs(reached / best - 1),
            "decoder_angle": _largest_sine(decoder_FK, axes_FF[:, k:]),
            "encoder_angle": _largest_sine(encoder_FK, axes_FF[:, k:]),
            "off_axis": (1 - nearest_K**2).clamp_min(0).sqrt().max().item(),
        },
        arrays={"losses": np.array(losses)},
    )


def _data(settings: LinearSettings, draw: torch.Generator) -> Tensor:
    """(N, F), centred."""
    F = settings.inputs
    deviation_F = settings.decay ** torch.arange(F, dtype=torch.float64)
    turn_FF = torch.linalg.qr(torch.randn(F, F, generator=draw, dtype=torch.float64)).Q
    x_NF = torch.randn(settings.samples, F, generator=draw, dtype=torch.float64) * deviation_F @ turn_FF
    centred_NF: Tensor = x_NF - x_NF.mean(0)
    return centred_NF


def _largest_sine(matrix_FK: Tensor, others_FM: Tensor) -> float:
    """The sine of the largest angle between the span of the columns and the complement of ``others_FM``."""
    basis_FK = torch.linalg.qr(matrix_FK).Q
    return float(torch.linalg.matrix_norm(others_FM.T @ basis_FK, 2))


def figure(figure: Figure, settings: LinearSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        excess = one.arrays["losses"] / one.numbers["pca"] - 1
        axes.plot(np.arange(1, len(excess) + 1), np.maximum(excess, 1e-16), color=SERIES[i], label=f"seed {i}")
    axes.axhline(1e-6, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set(yscale="log", xlabel="step", ylabel="error / error of PCA − 1")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="linear-autoencoder-pca",
    sentence="A linear autoencoder of k units reaches exactly the error of the first k principal components, and its "
    "encoder and decoder span their subspace; the units are not the components themselves.",
    source="Baldi & Hornik, Neural networks and principal component analysis: learning from examples without local "
    "minima, Neural Networks 2, 1989",
    loose="“A linear autoencoder is PCA”: the subspace is, a unit is any mixture of its axes, neither orthogonal nor "
    "ordered by variance.",
    settings=LinearSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="excess", at_most=1e-6, why="measured before as 1.1325798 to 1.1325799: the same to 1e-7"),
        Bar(number="decoder_angle", at_most=1e-3, why="an error this near the least leaves no room for more"),
        Bar(number="encoder_angle", at_most=1e-3, why="the rows of the encoder span it, too"),
        Bar(number="off_axis", at_least=0.1, why="no axis is preferred: some unit is 6° or more from every component"),
    ),
    names={
        "pca": "squared error a sample, k principal components",
        "autoencoder": "squared error a sample, linear autoencoder",
        "excess": "relative difference of the two errors",
        "decoder_angle": "sine of the largest angle between the decoder's span and that of the components",
        "encoder_angle": "sine of the largest angle between the encoder's span and that of the components",
        "off_axis": "sine of the angle between a unit of the decoder and its nearest component, the largest",
    },
    figure=figure,
    caption="Error of the linear autoencoder over that of the principal components, less 1, in training; the dashed "
    "line is the bar",
    reading="With {setting.latent} of {setting.inputs} dimensions PCA leaves a squared error of {pca:5} a sample (mean "
    "over seeds), the autoencoder {autoencoder:5}: a relative difference of {excess}. The decoder's columns and the "
    "encoder's rows lie in the principal subspace (largest sine {decoder_angle} and {encoder_angle}), but a column is "
    "up to a sine of {off_axis} away from the nearest component.",
)
