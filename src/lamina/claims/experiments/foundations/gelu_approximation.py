"""How far the two approximations of GELU are from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.equations import activations
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class GeluSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    reach: float = 8.0
    points: int = 1_600_001
    """from -reach to reach, float64"""
    tanh_error: float = 4.7324e-4
    tanh_place: float = 2.6989
    sigmoid_error: float = 0.02033
    """the published values"""


def measure(settings: GeluSettings, seed: int) -> Measurement:
    x_N = torch.linspace(-settings.reach, settings.reach, settings.points, dtype=torch.float64)
    exact_N = activations.gelu(x_N)
    of_tanh_N = (activations.gelu_tanh(x_N) - exact_N).abs()
    of_sigmoid_N = (activations.gelu_sigmoid(x_N) - exact_N).abs()
    error, place = of_tanh_N.max().item(), x_N[of_tanh_N.argmax()].abs().item()
    sigmoid_error = of_sigmoid_N.max().item()
    thin = slice(None, None, len(x_N) // 400)
    return Measurement(
        numbers={
            "tanh_error": error,
            "tanh_place": place,
            "sigmoid_error": sigmoid_error,
            "tanh_off": abs(error - settings.tanh_error),
            "place_off": abs(place - settings.tanh_place),
            "sigmoid_off": abs(sigmoid_error - settings.sigmoid_error),
        },
        arrays={"x": x_N[thin].numpy(), "tanh": of_tanh_N[thin].numpy(), "sigmoid": of_sigmoid_N[thin].numpy()},
    )


def figure(figure: Figure, settings: GeluSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    for i, (name, label) in enumerate((("tanh", "tanh form"), ("sigmoid", "x s(1.702 x)"))):
        axes.plot(arrays["x"], arrays[name], color=SERIES[i], label=label)
    axes.set(xlim=(-6, 6), yscale="log", ylim=(1e-7, 0.1), xlabel="x", ylabel="|approximation − GELU|")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="gelu-approximation",
    sentence="The tanh form of GELU is off by at most 4.7324e-4, at |x| = 2.6989; x s(1.702 x) by at most 0.02033.",
    source="Hendrycks & Gimpel, Gaussian error linear units, 2016",
    arxiv="1606.08415",
    loose="“GELU is 0.5x(1 + tanh(...))”: that is its approximation; GELU is x Φ(x).",
    settings=GeluSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="tanh_off", at_most=1e-8, why="one unit of the last digit quoted"),
        Bar(number="place_off", at_most=1e-4, why="one unit of the last digit quoted"),
        Bar(number="sigmoid_off", at_most=1e-5, why="one unit of the last digit quoted"),
    ),
    names={
        "tanh_error": "largest error of the tanh form",
        "tanh_place": "|x| where it is",
        "sigmoid_error": "largest error of x s(1.702 x)",
        "tanh_off": "distance of the tanh form's largest error from 4.7324e-4",
        "place_off": "distance of its place from 2.6989",
        "sigmoid_off": "distance of the sigmoid form's largest error from 0.02033",
    },
    figure=figure,
    caption="Distance of both approximations from GELU",
    reading="The tanh form is off by {tanh_error:5} at most, at |x| = {tanh_place:5}; the sigmoid form by "
    "{sigmoid_error:4}. A number rounded correctly is off by half a unit of its last digit at most, so a bar of one "
    "unit leaves a margin of 2 or more.",
)
