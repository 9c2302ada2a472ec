"""Conformal intervals cover as many values as they say, until the distribution shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.forecasting import coverage
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ConformalSettings(Settings):
    calibration: int = 2000
    test: int = 2000
    """residuals, of Student's t with three degrees of freedom, in float64"""
    level: float = 0.9
    shift: float = 2.0
    """what the residuals of a later time are multiplied by"""


def measure(settings: ConformalSettings, seed: int) -> Measurement:
    draw = generator(seed, "residuals")

    def residuals(count: int) -> torch.Tensor:
        normal, chi = (torch.randn(count, n, generator=draw, dtype=torch.float64) for n in (1, 3))
        return normal[:, 0] / (chi.square().mean(1)).sqrt()

    known = residuals(settings.calibration).abs().sort().values
    rank = -int(-(settings.calibration + 1) * settings.level // 1)
    radius = known[rank - 1]
    later = residuals(settings.test)
    same, shifted = (float(coverage(one, -radius, radius)) for one in (later, settings.shift * later))
    gaussian = 1.6448536269514722 * known.square().mean().sqrt()
    levels = torch.arange(1, 100, dtype=torch.float64) / 100
    radii = known[((settings.calibration + 1) * levels).ceil().long().clamp(max=settings.calibration) - 1]
    curve = [(later.abs() <= one).double().mean() for one in radii]
    curve_shifted = [((settings.shift * later).abs() <= one).double().mean() for one in radii]
    return Measurement(
        numbers={
            "off": abs(same - settings.level),
            "lost": settings.level - shifted,
            "gaussian": abs(float(coverage(later, -gaussian, gaussian)) - settings.level),
        },
        arrays={
            "levels": levels.numpy(),
            "same": torch.stack(curve).numpy(),
            "shifted": torch.stack(curve_shifted).numpy(),
        },
    )


def figure(figure: Figure, settings: ConformalSettings, measured: Sequence[Measurement]) -> None:
    axes, arrays = figure.subplots(), measured[0].arrays
    axes.plot(arrays["levels"], arrays["same"], color=SERIES[0], label="as in calibration")
    axes.plot(arrays["levels"], arrays["shifted"], color=SERIES[1], label="after the shift")
    axes.set(xlabel="level of the interval", ylabel="share covered")
    legend(axes)
    readable(axes.yaxis)


CLAIM = Claim(
    name="conformal-coverage",
    sentence="Conformal intervals cover at their level, whatever the distribution of the residuals, as long as it "
    "does not "
    "change; once it shifts they do not.",
    source="Lei et al., Distribution-free predictive inference for regression, JASA 113, 2018",
    arxiv="1604.04173",
    loose="“Guaranteed coverage”: for exchangeable residuals. Those of series are not, which is why coverage is "
    "measured.",
    settings=ConformalSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(
            number="off",
            at_most=0.035,
            why="four standard errors of a share of 2,000, of calibration and test together",
        ),
        Bar(number="lost", at_least=0.1, why="residuals twice as large leave their intervals often"),
    ),
    names={
        "off": "distance of the share covered from the level, same distribution",
        "lost": "what the share covered is below the level after the shift",
        "gaussian": "distance from the level of an interval from the standard deviation, as if Gaussian",
    },
    figure=figure,
    caption="Share covered at each level (first seed)",
    reading="At {setting.level} the intervals cover within {off} of their level, though the residuals are far from "
    "Gaussian (an interval of 1.64 standard deviations is off by {gaussian}). With residuals {setting.shift} times as "
    "large, {lost} of the share is lost.",
)
