"""How MobileNet's cost falls with its two multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.building import macs, parameters, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.registry import create_model
from lamina.report.svg import SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class MultiplierSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    alphas: tuple[float, ...] = (0.75, 0.5, 0.25)
    """the paper's, at the first size"""
    sizes: tuple[int, ...] = (224, 192, 160, 128)
    """the paper's, in pixels, at alpha 1; rho is the size over the first"""
    most: float = 0.1
    """largest relative difference from the square"""


def cost(alpha: float, size: int) -> tuple[int, int]:
    """Multiply-adds and parameters of the actual model."""
    model = weightless(lambda: create_model("mobilenet-v1", alpha=alpha))
    return macs(model, 1, 3, size, size), parameters(model)


def measure(settings: MultiplierSettings, seed: int) -> Measurement:
    first = settings.sizes[0]
    whole, whole_parameters = cost(1.0, first)
    numbers: dict[str, float] = {}
    for alpha in settings.alphas:
        found, found_parameters = cost(alpha, first)
        numbers[f"macs_alpha_{alpha:g}"] = found / whole
        numbers[f"parameters_alpha_{alpha:g}"] = found_parameters / whole_parameters
        numbers[f"off_alpha_{alpha:g}"] = abs(found / whole / alpha**2 - 1)
    off_rho = []
    for size in settings.sizes[1:]:
        numbers[f"macs_{size}"] = cost(1.0, size)[0] / whole
        off_rho.append(abs(numbers[f"macs_{size}"] / (size / first) ** 2 - 1))
    numbers["off_rho"] = max(off_rho)
    return Measurement(numbers=numbers)


def figure(figure: Figure, settings: MultiplierSettings, measured: Sequence[Measurement]) -> None:
    numbers = measured[0].numbers
    first = settings.sizes[0]
    left, right = figure.subplots(1, 2, sharey=True)
    multipliers = np.linspace(0.2, 1.0, 100)
    for axes, label in ((left, "alpha"), (right, "rho")):
        axes.plot(multipliers, multipliers**2, color=SERIES[1], linewidth=1)
        axes.set_xlabel(label)
    left.plot(
        [1.0, *settings.alphas],
        [1.0, *(numbers[f"macs_alpha_{alpha:g}"] for alpha in settings.alphas)],
        color=SERIES[0],
        marker="o",
        linestyle="",
    )
    right.plot(
        [size / first for size in settings.sizes],
        [1.0, *(numbers[f"macs_{size}"] for size in settings.sizes[1:])],
        color=SERIES[0],
        marker="o",
        linestyle="",
    )
    left.set_ylabel("multiply-adds / those at 1")
    for axes in (left, right):
        readable(axes.xaxis)
    readable(left.yaxis)


_SETTINGS = MultiplierSettings()

CLAIM = Claim(
    name="mobilenet-alpha-rho",
    sentence="MobileNet's multiply-adds fall with the square of the width multiplier alpha and of the resolution "
    "multiplier rho, to within 10 %, over the paper's range of both.",
    source="Howard et al., MobileNets: efficient convolutional neural networks for mobile vision, 2017, sections 3.3-4",
    arxiv="1704.04861",
    loose="“Alpha reduces cost by alpha²”: the paper says roughly. The depthwise, first and last layers fall with "
    "alpha only, and weigh the more the narrower the net.",
    settings=_SETTINGS,
    measure=measure,
    universal=True,
    bars=(
        *(
            Bar(number=f"off_alpha_{alpha:g}", at_most=_SETTINGS.most, why=f"alpha² at alpha = {alpha:g}, within 10 %")
            for alpha in _SETTINGS.alphas
        ),
        Bar(number="off_rho", at_most=_SETTINGS.most, why="rho² at every resolution, within 10 %"),
    ),
    names={
        **{f"macs_alpha_{a:g}": f"multiply-adds at alpha {a:g} over those at 1" for a in _SETTINGS.alphas},
        **{f"parameters_alpha_{a:g}": f"parameters at alpha {a:g} over those at 1" for a in _SETTINGS.alphas},
        **{f"off_alpha_{a:g}": f"relative difference from alpha² at {a:g}" for a in _SETTINGS.alphas},
        **{f"macs_{size}": f"multiply-adds at {size} pixels over those at 224" for size in _SETTINGS.sizes[1:]},
        "off_rho": "largest relative difference from rho²",
    },
    figure=figure,
    caption="Multiply-adds of the real models (dots) and the squares of the multipliers (lines)",
    reading="Over the paper's resolutions the count is within {off_rho} of rho² of the whole. With alpha it falls to "
    "{macs_alpha_0.75:4}, {macs_alpha_0.5:4} and {macs_alpha_0.25:4} of the whole: above alpha² by {off_alpha_0.75}, "
    "{off_alpha_0.5} and {off_alpha_0.25}. The 1x1 convolutions follow the square, the depthwise ones, the first "
    "convolution and the output layer follow alpha itself. Parameters fall less: to {parameters_alpha_0.25:4} at "
    "alpha 0.25, because of the output layer's 1000 classes.",
)
