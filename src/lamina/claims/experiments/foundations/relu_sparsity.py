"""At initialisation half of all ReLU outputs are zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import activations
from lamina.equations.initialisation import he_std
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class SparsitySettings(Settings):
    layers: int = 5
    width: int = 512
    batch: int = 512
    """inputs N(0, 1); weights N(0, 2 / fan_in), no biases"""


def measure(settings: SparsitySettings, seed: int) -> Measurement:
    shares = {name: _zero_shares(settings, name, seed) for name in ("relu", "elu")}
    return Measurement(
        numbers={
            "zeros": float(shares["relu"].mean()),
            "off_half": abs(float(shares["relu"].mean()) - 0.5),
            "worst_layer": float(np.abs(shares["relu"] - 0.5).max()),
            "elu_zeros": float(shares["elu"].mean()),
        },
        arrays=shares,
    )


def _zero_shares(settings: SparsitySettings, name: str, seed: int) -> np.ndarray:
    """The share of outputs that are exactly 0 in each layer, (L,)."""
    f = {"relu": activations.relu, "elu": activations.elu}[name]
    draw = generator(seed, "weights")
    h_BD = torch.randn(settings.batch, settings.width, generator=generator(seed, "inputs"))
    shares = []
    for _ in range(settings.layers):
        h_BD = f(h_BD @ (he_std(settings.width) * torch.randn(settings.width, settings.width, generator=draw)).T)
        shares.append((h_BD == 0).double().mean().item())
    return np.array(shares)


def figure(figure: Figure, settings: SparsitySettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    layers = np.arange(1, settings.layers + 1)
    for i, (name, label) in enumerate((("relu", "ReLU"), ("elu", "ELU"))):
        for j, one in enumerate(measured):
            axes.plot(
                layers,
                one.arrays[name],
                "o-",
                color=SERIES[i],
                markersize=4,
                linewidth=1,
                alpha=0.7,
                label=None if j else label,
            )
    axes.axhspan(0.45, 0.55, color=MUTED, alpha=0.15, linewidth=0)
    axes.set(xlabel="layer", ylabel="share of outputs that are 0", ylim=(-0.03, 1))
    axes.set_xticks(layers)
    legend(axes)
    readable(axes.yaxis)


CLAIM = Claim(
    name="relu-sparsity",
    sentence="In a ReLU network at a symmetric random initialisation half of the hidden outputs are zero (0.45 to "
    "0.55).",
    source="Glorot, Bordes & Bengio, Deep sparse rectifier neural networks, AISTATS 2011",
    loose="“Sparse activation” as an advantage: half are zero before training; the same zeros let units die, hence "
    "the leaky variants.",
    settings=SparsitySettings(),
    measure=measure,
    universal=False,
    bars=(Bar(number="off_half", at_most=0.05, why="0.45 to 0.55, over all layers"),),
    names={
        "zeros": "share of zeros, ReLU",
        "off_half": "distance of the share of zeros from 1/2",
        "worst_layer": "distance of the share of zeros from 1/2, worst layer",
        "elu_zeros": "share of zeros, ELU",
    },
    figure=figure,
    caption="Share of zeros by layer, a line for each seed; the band is 0.45 to 0.55",
    reading="{zeros} of all ReLU outputs are zero, since a sum with symmetric random weights is as often below zero "
    "as above. A single layer strays further (by {worst_layer}): deeper in, samples look alike and whole units are on "
    "or off together. ELU on the same weights: {elu_zeros}.",
)
