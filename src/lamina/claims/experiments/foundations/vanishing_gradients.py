"""The gradient vanishes through many sigmoid layers, but hardly through tanh, ReLU or residual layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import activations
from lamina.equations.initialisation import he_std, xavier_std
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class VanishingSettings(Settings):
    layers: int = 20
    width: int = 64
    batch: int = 256
    """inputs N(0, 1); loss: mean of the squared outputs; no biases"""
    sigmoid_most: float = 0.3
    others_least: float = 0.85
    residual_least: float = 0.8
    """bars on the ratio of gradient norms of neighbouring layers, geometric mean over the net"""


NETS = {
    "sigmoid": "sigmoid, Xavier",
    "tanh": "tanh, Xavier",
    "relu": "ReLU, He",
    "residual_sigmoid": "residual sigmoid",
    "residual_relu": "residual ReLU",
}


def measure(settings: VanishingSettings, seed: int) -> Measurement:
    numbers, arrays = {}, {}
    for name in NETS:
        norms_L = _gradient_norms(settings, name, seed)
        ratio = norms_L[0] / norms_L[-1]
        numbers[name] = ratio
        numbers[f"{name}_rho"] = ratio ** (1 / (settings.layers - 1))
        arrays[name] = np.array(norms_L) / norms_L[-1]
    return Measurement(numbers=numbers, arrays=arrays)


def _gradient_norms(settings: VanishingSettings, name: str, seed: int) -> list[float]:
    """||dL/dW_l|| of every layer, from the input to the output."""
    kind = name.removeprefix("residual_")
    f: Callable[[Tensor], Tensor] = {
        "sigmoid": activations.sigmoid,
        "tanh": activations.tanh,
        "relu": activations.relu,
    }[kind]
    width = settings.width
    std = he_std(width) if kind == "relu" else xavier_std(width, width)
    draw = generator(seed, "weights")
    weights = [
        (std * torch.randn(width, width, generator=draw, dtype=torch.float64)).requires_grad_()
        for _ in range(settings.layers)
    ]
    h_BD = torch.randn(settings.batch, width, generator=generator(seed, "inputs"), dtype=torch.float64)
    for W in weights:
        out_BD = f(h_BD @ W.T)
        h_BD = h_BD + out_BD / math.sqrt(settings.layers) if name.startswith("residual") else out_BD
    gradients = torch.autograd.grad((h_BD**2).mean(), weights)
    return [gradient.norm().item() for gradient in gradients]


def figure(figure: Figure, settings: VanishingSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    layers = np.arange(1, settings.layers + 1)
    for i, (name, label) in enumerate(NETS.items()):
        norms_SL = np.array([one.arrays[name] for one in measured])
        axes.plot(layers, np.exp(np.log(norms_SL).mean(0)), color=SERIES[i], marker="o", markersize=3, label=label)
    axes.set(yscale="log", xlabel="layer, 1 at the input", ylabel="gradient norm / that of the last layer")
    axes.set_xticks([1, *range(5, settings.layers + 1, 5)])
    legend(axes)
    readable(axes.yaxis)


_SETTINGS = VanishingSettings()
_PAIRS = _SETTINGS.layers - 1
_WHY = "rho {} {:g} a layer, over " + str(_PAIRS) + " pairs of layers"

CLAIM = Claim(
    name="vanishing-gradients",
    sentence="Back through 20 layers the gradient vanishes with sigmoid units (less than 0.3 a layer), but not with "
    "tanh under Xavier or ReLU under He initialisation (more than 0.85), nor through residual layers (more than 0.8).",
    source="Hochreiter, diploma thesis, TU München, 1991; Bengio, Simard & Frasconi, IEEE Trans. Neural Networks 5, "
    "1994; Glorot & Bengio, AISTATS 2010",
    settings=_SETTINGS,
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="sigmoid", at_most=_SETTINGS.sigmoid_most**_PAIRS, why=_WHY.format("≤", _SETTINGS.sigmoid_most)),
        Bar(number="tanh", at_least=_SETTINGS.others_least**_PAIRS, why=_WHY.format("≥", _SETTINGS.others_least)),
        Bar(number="relu", at_least=_SETTINGS.others_least**_PAIRS, why=_WHY.format("≥", _SETTINGS.others_least)),
        Bar(
            number="residual_sigmoid",
            at_least=_SETTINGS.residual_least**_PAIRS,
            why=_WHY.format("≥", _SETTINGS.residual_least),
        ),
        Bar(
            number="residual_relu",
            at_least=_SETTINGS.residual_least**_PAIRS,
            why=_WHY.format("≥", _SETTINGS.residual_least),
        ),
    ),
    names={
        **{name: f"first / last gradient norm, {label}" for name, label in NETS.items()},
        **{f"{name}_rho": f"ratio of neighbouring layers (rho), {label}" for name, label in NETS.items()},
    },
    figure=figure,
    caption="Norm of each layer's weight gradient over that of the last layer, geometric mean over seeds",
    reading="Of the gradient at the last layer, {sigmoid} arrives at the first with sigmoid units: a factor rho of "
    "{sigmoid_rho} for each layer, as σ′ ≤ 1/4 would have it. With tanh {tanh} arrives, with ReLU {relu}; the "
    "residual form h + f(Wh)/√20 saves even the sigmoid: {residual_sigmoid}. The margin is taken on the ratio of "
    "first to last layer; on rho itself it is far smaller, since the bars there are powers. For ReLU without biases "
    "the ratio does not depend on the scale of the weights, so it is no argument for He against Xavier.",
)
