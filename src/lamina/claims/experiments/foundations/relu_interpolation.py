"""Piecewise-linear interpolation is a ReLU layer, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import activations
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class InterpolationSettings(Settings):
    knots: tuple[int, ...] = (9, 17, 33, 65, 129)
    waves: int = 4
    """number of sines that the function is a sum of"""
    fastest: float = 4.0
    """their angular frequencies are uniform in (1, fastest), amplitudes N(0, 1), phases uniform"""
    grid: int = 20_001
    """points between -pi and pi at which errors are measured"""


def interpolant(knots_K: Tensor, values_K: Tensor, x_N: Tensor) -> Tensor:
    """f(t_0) + sum_k w_k relu(x - t_k), k = 0..K-2: w_0 is the first slope, w_k the change of slope at t_k. (N,)."""
    slopes = torch.diff(values_K) / torch.diff(knots_K)
    w_U = torch.diff(slopes, prepend=torch.zeros(1, dtype=slopes.dtype))
    hidden_NU = activations.relu(x_N[:, None] - knots_K[:-1])
    return values_K[0] + hidden_NU @ w_U


def measure(settings: InterpolationSettings, seed: int) -> Measurement:
    draw = generator(seed, "waves")
    amplitude_W = torch.randn(settings.waves, generator=draw, dtype=torch.float64)
    speed_W = 1 + (settings.fastest - 1) * torch.rand(settings.waves, generator=draw, dtype=torch.float64)
    phase_W = 2 * torch.pi * torch.rand(settings.waves, generator=draw, dtype=torch.float64)

    def f(x_N: Tensor) -> Tensor:
        return torch.sin(speed_W * x_N[:, None] + phase_W) @ amplitude_W

    x_N = torch.linspace(-math.pi, math.pi, settings.grid, dtype=torch.float64)
    curvature = (torch.sin(speed_W * x_N[:, None] + phase_W) @ (amplitude_W * speed_W**2)).abs().max().item()
    errors, bounds, at_knots = [], [], []
    for count in settings.knots:
        knots_K = torch.linspace(-math.pi, math.pi, count, dtype=torch.float64)
        errors.append((interpolant(knots_K, f(knots_K), x_N) - f(x_N)).abs().max().item())
        bounds.append(curvature * (2 * math.pi / (count - 1)) ** 2 / 8)
        at_knots.append((interpolant(knots_K, f(knots_K), knots_K) - f(knots_K)).abs().max().item())
    order = np.polyfit(np.log(settings.knots[1:]), np.log(errors[1:]), 1)[0]
    few_K = torch.linspace(-math.pi, math.pi, settings.knots[0], dtype=torch.float64)
    thin_M = x_N[::50]
    return Measurement(
        numbers={
            "worst_share": max(error / bound for error, bound in zip(errors, bounds, strict=True)),
            "at_knots": max(at_knots),
            "order": -float(order),
        },
        arrays={
            "errors": np.array(errors),
            "bounds": np.array(bounds),
            "x": thin_M.numpy(),
            "f": f(thin_M).numpy(),
            "few": interpolant(few_K, f(few_K), thin_M).numpy(),
        },
    )


def figure(figure: Figure, settings: InterpolationSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    first = measured[0].arrays
    left.plot(first["x"], first["f"], color=MUTED, linewidth=3, alpha=0.5, label="function")
    left.plot(first["x"], first["few"], color=SERIES[0], label=f"{settings.knots[0] - 1} ReLU units")
    left.set(xlabel="x")
    units = np.array(settings.knots) - 1
    for i, one in enumerate(measured):
        shown = {"label": "largest error"} if i == 0 else {}
        right.plot(units, one.arrays["errors"], "o", color=SERIES[0], markersize=4, **shown)
        right.plot(
            units,
            one.arrays["bounds"],
            color=MUTED,
            linewidth=1,
            linestyle=(0, (4, 3)),
            label="bounds" if i == 0 else None,
        )
    right.set(xscale="log", yscale="log", xlabel="ReLU units")
    right.set_xticks(units, [str(count) for count in units])
    right.minorticks_off()
    for axes in (left, right):
        legend(axes)
        readable(axes.yaxis)
    readable(left.xaxis)


CLAIM = Claim(
    name="relu-interpolation",
    sentence="A hidden layer of n−1 ReLU units is exactly the piecewise-linear interpolation of n knots: its error is "
    "at most max|f″| Δx²/8, and none at the knots.",
    source="the bound: Davis, Interpolation and Approximation, 1963; the construction is folklore",
    settings=InterpolationSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="worst_share", at_most=1.0, why="the bound of linear interpolation"),
        Bar(number="at_knots", at_most=1e-10, why="exact up to float64 sums of up to 128 terms"),
    ),
    names={
        "worst_share": "largest error / bound, worst number of knots",
        "at_knots": "largest error at a knot",
        "order": "power of 1/n by which the error falls",
    },
    figure=figure,
    caption="The first seed's function and its interpolation by the fewest units (left); largest errors of all seeds "
    "and their bounds, dashed (right)",
    reading="Nothing is trained: a unit's weight is the change of slope at its knot. The largest error reaches "
    "{worst_share} of the bound, which is nearly tight once the knots are close, and falls with the power {order} of "
    "the number of knots.",
)
