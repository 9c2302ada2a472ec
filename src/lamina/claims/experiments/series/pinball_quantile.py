"""The pinball loss is smallest at the quantile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.forecasting import pinball
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class PinballSettings(Settings):
    values: int = 4001
    """of exp(N(0, 1)), in float64"""
    levels: tuple[float, ...] = (0.05, 0.25, 0.5, 0.9)
    step: float = 0.002
    """of the grid of forecasts"""


def measure(settings: PinballSettings, seed: int) -> Measurement:
    y_N = torch.randn(settings.values, generator=generator(seed, "values"), dtype=torch.float64).exp()
    grid_G = torch.arange(0.0, 6.0, settings.step, dtype=torch.float64)
    off, arrays = [], {"grid": grid_G.numpy()}
    for level in settings.levels:
        loss_G = torch.stack([pinball(y_N, p, level).mean() for p in grid_G])
        off.append(abs(float(grid_G[loss_G.argmin()]) - float(torch.quantile(y_N, level))))
        arrays[f"loss_{level}"] = loss_G.numpy()
    mean = float(y_N.mean())
    squared_G = torch.stack([(y_N - p).square().mean() for p in grid_G])
    apart = abs(float(grid_G[squared_G.argmin()]) - float(torch.quantile(y_N, 0.5)))
    return Measurement(
        numbers={"off": max(off), "squared": abs(float(grid_G[squared_G.argmin()]) - mean), "apart": apart},
        arrays=arrays,
    )


def figure(figure: Figure, settings: PinballSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, level in enumerate(settings.levels):
        axes.plot(
            measured[0].arrays["grid"], measured[0].arrays[f"loss_{level}"], color=SERIES[i], label=f"q = {level}"
        )
    axes.set(xlabel="forecast", ylabel="mean pinball loss")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="pinball-quantile",
    sentence="The forecast of least pinball loss at level q is the q-quantile; of least squared error, the mean.",
    source="Koenker & Bassett, Regression quantiles, Econometrica 46, 1978",
    settings=PinballSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="off", at_most=0.01, why="the step of the grid, and that neighbouring values lie apart at the ends"),
        Bar(number="squared", at_most=0.01, why="the step of the grid"),
        Bar(number="apart", at_least=0.3, why="mean and median differ: the measure can tell"),
    ),
    names={
        "off": "largest distance of the best forecast from the quantile",
        "squared": "distance of the forecast of least squared error from the mean",
        "apart": "distance of the forecast of least squared error from the median",
    },
    figure=figure,
    caption="Mean pinball loss of a constant forecast (first seed)",
    reading="On a grid of steps of {setting.step} the best forecasts lie within {off} of the quantiles. The least "
    "squared "
    "error is at the mean, {apart} above the median: these values are skewed.",
)
