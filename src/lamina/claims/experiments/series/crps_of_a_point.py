"""The CRPS of a point forecast is its absolute error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.forecasting import crps_from_quantiles, crps_of_ensemble, crps_of_gaussian
from lamina.report.svg import SERIES, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class PointSettings(Settings):
    values: int = 200
    """targets and forecasts, N(0, 1), in float64"""
    widths: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    """standard deviations of a Gaussian forecast that shrinks to a point"""


def measure(settings: PointSettings, seed: int) -> Measurement:
    draw = generator(seed, "values")
    y_N, p_N = (torch.randn(settings.values, generator=draw, dtype=torch.float64) for _ in range(2))
    error_N = (y_N - p_N).abs()
    gaps = [
        float((crps_of_gaussian(y_N, p_N, torch.full_like(p_N, width)) - error_N).abs().max())
        for width in settings.widths
    ]
    right, wide = (crps_of_gaussian(y_N, torch.zeros_like(y_N), torch.full_like(y_N, std)).mean() for std in (1.0, 3.0))
    return Measurement(
        numbers={
            "ensemble": float((crps_of_ensemble(y_N, p_N[:, None]) - error_N).abs().max()),
            "quantile": float((crps_from_quantiles(y_N, p_N[:, None]) - error_N).abs().max()),
            "limit": gaps[-1],
            "proper": float(wide / right),
        },
        arrays={"gaps": torch.tensor(gaps, dtype=torch.float64).numpy()},
    )


def figure(figure: Figure, settings: PointSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    axes.loglog(settings.widths, measured[0].arrays["gaps"], "o-", color=SERIES[0], label="largest difference")
    axes.set(xlabel="standard deviation of the forecast", ylabel="CRPS - |error|")
    legend(axes)


CLAIM = Claim(
    name="crps-of-a-point",
    sentence="The CRPS of a forecast that is one point is its absolute error: MAE and CRPS can be compared.",
    source="Gneiting & Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 102, 2007",
    settings=PointSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="ensemble", at_most=1e-12, why="the same number: float64 rounding at most"),
        Bar(number="quantile", at_most=1e-12, why="twice the pinball loss at 1/2: float64 rounding at most"),
        Bar(number="limit", at_most=1e-3, why="a Gaussian of deviation 0.001 is off by 0.56 of it at most"),
        Bar(number="proper", at_least=1.2, why="a forecast three times too wide scores worse than the right one"),
    ),
    names={
        "ensemble": "largest difference of the CRPS of one sample from the absolute error",
        "quantile": "largest difference of the CRPS of one quantile from the absolute error",
        "limit": "largest difference of the CRPS of the narrowest Gaussian from the absolute error",
        "proper": "CRPS of a Gaussian three times too wide over that of the right one",
    },
    figure=figure,
    caption="What a Gaussian forecast's CRPS differs from its absolute error by (first seed)",
    reading="For one sample the two are equal to {ensemble}, for one quantile to {quantile}; a Gaussian tends to "
    "it. Of "
    "distributions the right one scores best: three times its width costs {proper} times as much.",
)
