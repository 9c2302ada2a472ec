"""The parts of N-BEATS add up to its forecast, and are what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class PartsSettings(Settings):
    context: int = 48
    horizon: int = 24
    width: int = 16
    """of all layers; untrained weights of the interpretable net, in float64"""
    windows: int = 8
    """random walks"""


def measure(settings: PartsSettings, seed: int) -> Measurement:
    options: dict[str, Any] = {"context": settings.context, "horizon": settings.horizon, "channels": 1}
    options |= {"trend_size": settings.width, "season_size": settings.width}
    model: Any = drawn(partial(create_model, "nbeats-interpretable", **options), seed, "weights").double().eval()
    draw = generator(seed, "windows")
    past = torch.randn(settings.windows, settings.context, 1, generator=draw, dtype=torch.float64).cumsum(1)
    with torch.no_grad():
        parts, whole = model.parts(past), model(past)
    trend, season = parts["trend"][..., 0], parts["season"][..., 0]
    power = torch.fft.rfft(season, dim=1).abs()
    return Measurement(
        numbers={
            "sum": largest(sum(parts.values()) - whole),
            "trend": largest(trend.diff(n=3, dim=1)) / float(trend.abs().max()),
            "season": float(power[:, -1].max() / power.max()),
            "both": min(float(trend.std()), float(season.std())) / float(whole.std()),
        },
        arrays={name: part[0, :, 0].numpy() for name, part in {**parts, "forecast": whole}.items()},
    )


def figure(figure: Figure, settings: PartsSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, values) in enumerate(measured[0].arrays.items()):
        axes.plot(values, color=SERIES[i], label=name)
    axes.set(xlabel="step", ylabel="value")
    legend(axes)
    readable(axes.yaxis)


CLAIM = Claim(
    name="nbeats-parts",
    sentence="The forecast of N-BEATS is the sum of its parts; the interpretable net's trend is a parabola, its "
    "season a "
    "sum of waves of the horizon.",
    source="Oreshkin et al., N-BEATS: neural basis expansion analysis for interpretable time series forecasting, "
    "ICLR 2020",
    arxiv="1905.10437",
    loose="“It finds trend and season”: the parts have these forms by construction. What is put into which is "
    "learnt, and "
    "a level can stand in either.",
    settings=PartsSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="sum", at_most=1e-12, why="the same numbers added in another order"),
        Bar(number="trend", at_most=1e-9, why="a parabola has no third difference: float64 rounding"),
        Bar(number="season", at_most=1e-9, why="the basis ends below the frequency H / 2: float64 rounding"),
        Bar(number="both", at_least=0.001, why="both parts take part: the measure can tell"),
    ),
    names={
        "sum": "largest difference of the sum of the parts from the forecast",
        "trend": "largest third difference of the trend over its largest value",
        "season": "share of the frequency H / 2 in the season, against the largest",
        "both": "deviation of the smaller part over that of the forecast",
    },
    figure=figure,
    caption="A forecast and its parts (first seed)",
    reading="The parts add up to {sum}. The trend's third difference is {trend} of its size, and {season} of the "
    "season "
    "has the frequency that the basis does not hold.",
)
