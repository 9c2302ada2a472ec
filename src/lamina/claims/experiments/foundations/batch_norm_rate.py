"""At a learning rate where a deep plain network fails, batch normalisation trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Array, Bar, Claim, Measurement, Settings, generator
from lamina.equations import regularisation
from lamina.equations.activations import relu
from lamina.equations.initialisation import he_std
from lamina.equations.losses import cross_entropy, one_hot
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class RateSettings(Settings):
    layers: int = 8
    """hidden, of ReLU; weights N(0, 2 / fan_in), biases 0, the output layer's too"""
    width: int = 64
    steps: int = 300
    """of plain SGD"""
    batch: int = 128
    rates: tuple[float, ...] = (0.1, 1.0)
    """the claim is about the last"""


def measure(settings: RateSettings, seed: int) -> Measurement:
    x_ND, t_N = _digits()
    numbers, arrays = {}, {}
    for rate in settings.rates:
        for name in ("plain", "bn"):
            losses_T, final = _train(settings, x_ND, t_N, rate, name == "bn", seed)
            numbers[f"{name}_{rate:g}"] = final
            arrays[f"{name}_{rate:g}"] = losses_T
    return Measurement(numbers=numbers, arrays=arrays)


def _digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1,797 digits, (N, 64), with mean 0 and standard deviation 1 over all pixels; classes (N,)."""
    from sklearn.datasets import load_digits

    x_ND, t_N = load_digits(return_X_y=True)
    x = torch.tensor(x_ND, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(t_N)


def _train(
    settings: RateSettings, x_ND: Tensor, t_N: Tensor, rate: float, normed: bool, seed: int
) -> tuple[Array, float]:
    """The loss of each batch, and the final cross-entropy of the whole set in training mode; infinite if a loss was not
    finite."""
    draw, order = generator(seed, "weights"), generator(seed, "order")
    sizes = [x_ND.shape[1], *[settings.width] * settings.layers, CLASSES]
    weights = [he_std(i) * torch.randn(o, i, generator=draw) for i, o in pairwise(sizes)]
    shifts, scales = [torch.zeros(o) for o in sizes[1:]], [torch.ones(o) for o in sizes[1:-1]]
    parameters = [p.requires_grad_() for p in (*weights, *shifts, *(scales if normed else []))]

    def loss(h_BD: Tensor, t_B: Tensor) -> Tensor:
        for W, shift_D, scale_D in zip(weights, shifts, scales, strict=False):
            z_BD = h_BD @ W.T
            if normed:
                mean_D, var_D, _ = regularisation.batch_statistics(z_BD)
                z_BD = regularisation.batch_norm(z_BD, mean_D, var_D, scale_D, shift_D)
            h_BD = relu(z_BD if normed else z_BD + shift_D)
        z_BK = h_BD @ weights[-1].T + shifts[-1]
        return cross_entropy(z_BK, one_hot(t_B, z_BK))

    seen = []
    for _ in range(settings.steps):
        rows_B = torch.randint(len(x_ND), (settings.batch,), generator=order)
        error = loss(x_ND[rows_B], t_N[rows_B])
        seen.append(error.item())
        if not math.isfinite(seen[-1]):
            return np.array(seen), math.inf
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(error, parameters), strict=True):
                p -= rate * g
    with torch.no_grad():
        final = loss(x_ND, t_N).item()
    return np.array(seen), final if math.isfinite(final) else math.inf


def figure(figure: Figure, settings: RateSettings, measured: Sequence[Measurement]) -> None:
    chance = math.log(CLASSES)
    for axes, rate in zip(figure.subplots(1, len(settings.rates), sharey=True), settings.rates, strict=True):
        for i, (name, label) in enumerate((("plain", "plain"), ("bn", "batch norm"))):
            for j, one in enumerate(measured):
                loss_T = one.arrays[f"{name}_{rate:g}"]
                shown = np.where(np.isfinite(loss_T), np.minimum(loss_T, 50), np.nan)
                axes.plot(shown, color=SERIES[i], linewidth=0.8, alpha=0.6, label=None if j else label)
        axes.axhline(chance, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="chance")
        axes.set(yscale="log", ylim=(1e-3, 50), xlabel=f"step, at rate {rate:g}")
        readable(axes.xaxis)
        readable(axes.yaxis)
    figure.axes[0].set_ylabel("loss of the batch")
    legend(figure.axes[0])


CLAIM = Claim(
    name="batch-norm-rate",
    sentence="Eight ReLU layers under He initialisation fail at learning rate 1.0, and train there with batch "
    "normalisation.",
    source="Ioffe & Szegedy, Batch normalization, ICML 2015",
    arxiv="1502.03167",
    loose="“It reduces internal covariate shift”: the paper's explanation, disputed by Santurkar et al. 2018 "
    "(1805.11604). What is measured here is the effect.",
    settings=RateSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="plain_1", at_least=0.5, why="not learnt: chance is ln 10 = 2.303; measured before as 1.849"),
        Bar(number="bn_1", at_most=0.25, why="learnt; measured before as 0.104"),
    ),
    names={
        f"{name}_{rate}": f"training cross-entropy, {label}, rate {rate}"
        for rate in ("0.1", "1")
        for name, label in (("plain", "plain"), ("bn", "batch norm"))
    },
    figure=figure,
    caption="Loss of each batch, a line for each seed; a line that ends has left the finite numbers",
    reading="Final cross-entropy on the training set of digits: at rate 0.1 both train (plain {plain_0.1}, batch norm "
    "{bn_0.1}). At rate 1.0 the plain net's loss overflows (∞) or stays at chance, ln 10; the net with batch norm "
    "ends at {bn_1}. He initialisation makes the comparison fair: torch's default has a sixth of its variance, under "
    "which deep plain ReLU nets fade out.",
)
