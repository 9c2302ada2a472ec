"""Outliers distort a fit by squared error, and hardly one by absolute error or Huber's loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Array, Bar, Claim, Measurement, Settings, generator
from lamina.equations import losses
from lamina.report.svg import INK, MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class OutlierSettings(Settings):
    points: int = 200
    """x of N(0, 1)"""
    outliers: int = 20
    shift: float = 50.0
    """added to y of the outliers"""
    slope: float = 3.0
    intercept: float = 1.0
    noise: float = 0.1
    huber_delta: float = 1.0
    steps: int = 2000
    first_rate: float = 0.1
    last_rate: float = 1e-4
    """of plain gradient descent on all points; geometric between"""


def measure(settings: OutlierSettings, seed: int) -> Measurement:
    draw = generator(seed, "points")
    x_N = torch.randn(settings.points, generator=draw, dtype=torch.float64)
    y_N = settings.slope * x_N + settings.intercept
    y_N = y_N + settings.noise * torch.randn(settings.points, generator=draw, dtype=torch.float64)
    y_N[: settings.outliers] += settings.shift
    gradients: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": losses.mse_gradient,
        "mae": losses.mae_gradient,
        "huber": lambda said_N, t_N: losses.huber_gradient(said_N, t_N, settings.huber_delta),
    }
    numbers: dict[str, float] = {}
    lines: dict[str, Array] = {}
    for name, gradient in gradients.items():
        slope, intercept = _fit(settings, x_N, y_N, gradient)
        numbers |= {f"{name}_slope": slope, f"{name}_intercept": intercept}
        numbers[f"{name}_error"] = math.hypot(slope - settings.slope, intercept - settings.intercept)
        lines[name] = np.array([slope, intercept])
    for name in ("mae", "huber"):
        numbers[f"{name}_share"] = numbers[f"{name}_error"] / numbers["mse_error"]
    return Measurement(numbers=numbers, arrays={"x": x_N.numpy(), "y": y_N.numpy(), **lines})


def _fit(
    settings: OutlierSettings, x_N: Tensor, y_N: Tensor, gradient: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Slope and intercept after gradient descent from 0."""
    slope = intercept = torch.zeros((), dtype=torch.float64)
    for rate in np.geomspace(settings.first_rate, settings.last_rate, settings.steps):
        g_N = gradient(slope * x_N + intercept, y_N)
        slope, intercept = slope - rate * (g_N * x_N).sum(), intercept - rate * g_N.sum()
    return slope.item(), intercept.item()


def figure(figure: Figure, settings: OutlierSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    ends = np.array([arrays["x"].min(), arrays["x"].max()])
    axes.plot(arrays["x"], arrays["y"], "o", color=MUTED, markersize=3, alpha=0.45)
    for i, (name, label) in enumerate((("mse", "MSE"), ("mae", "MAE"), ("huber", "Huber"))):
        slope, intercept = arrays[name]
        axes.plot(
            ends, slope * ends + intercept, color=SERIES[i], label=label, linestyle="--" if name == "huber" else "-"
        )
    axes.axhline(0, color=INK, linewidth=0)
    axes.set(xlabel="x", ylabel="y")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="outliers",
    sentence="With a tenth of the points shifted far up, a line fitted by squared error is far off; fitted by "
    "absolute error or by Huber's loss it is off by less than a tenth of that.",
    source="Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35, 1964",
    settings=OutlierSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="mse_error", at_least=1.0, why="the outliers alone lift the mean of y by 5"),
        Bar(number="mae_share", at_most=0.1, why="a tenth"),
        Bar(number="huber_share", at_most=0.1, why="a tenth; each outlier pulls with delta, all with 1/9 of it"),
    ),
    names={
        **{
            f"{name}_{what}": f"{what}, {label}"
            for name, label in (("mse", "MSE"), ("mae", "MAE"), ("huber", "Huber"))
            for what in ("slope", "intercept")
        },
        "mse_error": "distance of (slope, intercept) from the truth, MSE",
        "mae_error": "distance, MAE",
        "huber_error": "distance, Huber",
        "mae_share": "distance of MAE / distance of MSE",
        "huber_share": "distance of Huber / distance of MSE",
    },
    figure=figure,
    caption="The first seed's points and the three lines",
    reading="The true line is {setting.slope}x + {setting.intercept}. Squared error finds {mse_slope}x + "
    "{mse_intercept} (means over seeds), absolute error {mae_slope}x + {mae_intercept}, Huber {huber_slope}x + "
    "{huber_intercept}. Squared error seeks the mean and absolute error the median, which a tenth of the points moves "
    "only within the noise.",
)
