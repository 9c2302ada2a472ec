"""A shift of sinusoidal positions is a rotation, which depends on the distance only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.equations import attention
from lamina.layers.positions import LearnedPositions, SinusoidalPositions
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ShiftSettings(Settings):
    width: int = 64
    positions: int = 512
    shifts: tuple[int, ...] = (1, 2, 3, 10, 30, 100)
    """largest shift, forwards and backwards"""
    starts: tuple[int, ...] = (0, 100, 300)
    """positions in the figure, from which shifts start"""
    ahead: int = 100


def measure(settings: ShiftSettings, seed: int) -> Measurement:
    place_T = torch.arange(settings.positions)
    sine_TC = SinusoidalPositions(settings.width)(place_T, torch.float64)
    build = partial(LearnedPositions, settings.positions, settings.width)
    learned_TC = drawn(build, seed, "positions")(place_T).detach().double()
    off, orthogonal, spread, fits = [], [], [], []
    for k in settings.shifts:
        before_TC, after_TC = sine_TC[:-k], sine_TC[k:]
        for shift, start_TC, end_TC in ((k, before_TC, after_TC), (-k, after_TC, before_TC)):
            R_CC = attention.shift(shift, settings.width)
            off.append(largest(start_TC @ R_CC.T - end_TC))
            orthogonal.append(largest(R_CC @ R_CC.T - torch.eye(settings.width, dtype=torch.float64)))
        product_T = (before_TC * after_TC).sum(1)
        spread.append(largest(product_T - product_T.mean()))
        fits.append(_unexplained(learned_TC[:-k], learned_TC[k:]))
    ahead = {
        f"from_{start}": sine_TC[start : start + settings.ahead] @ sine_TC[start] / (settings.width / 2)
        for start in settings.starts
    }
    ahead["learned"] = learned_TC[: settings.ahead] @ learned_TC[0] / (learned_TC[0] @ learned_TC[0])
    return Measurement(
        numbers={"off": max(off), "orthogonal": max(orthogonal), "spread": max(spread), "learned": min(fits)},
        arrays={name: products.numpy() for name, products in ahead.items()},
    )


def _unexplained(before_TC: Tensor, after_TC: Tensor) -> float:
    """The residual of the best linear map from the one to the other, over the norm of the other."""
    best_CC = torch.linalg.lstsq(before_TC, after_TC).solution
    return float((before_TC @ best_CC - after_TC).norm() / after_TC.norm())


def figure(figure: Figure, settings: ShiftSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    axes.plot(arrays["learned"], color=MUTED, linewidth=0.8, label="from 0, a learned table at its start")
    for i, start in enumerate(settings.starts):
        line, marker = ("", "os"[i - 1]) if i else ("-", "")
        (curve,) = axes.plot(arrays[f"from_{start}"], color=SERIES[i], linestyle=line, label=f"from {start}")
        curve.set(marker=marker, markevery=(4 * i, 8), markersize=5)
    axes.set(xlabel="distance k", ylabel="PE(p) · PE(p + k) / PE(p) · PE(p)")
    legend(axes, columns=4)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="sinusoid-shift",
    sentence="With sinusoidal positions PE(p + k) is PE(p) turned by a rotation R(k) that depends on the distance k "
    "alone; no linear map does this for a table of learned positions at its start.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, section 3.5",
    arxiv="1706.03762",
    settings=ShiftSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="off", at_most=1e-10, why="float64 rounding of angles up to 512 radians"),
        Bar(number="orthogonal", at_most=1e-12, why="a rotation keeps lengths and angles"),
        Bar(number="spread", at_most=1e-10, why="so products depend on the distance alone; rounding as above"),
        Bar(number="learned", at_least=0.5, why="the measure can tell: no linear map fits a table of random vectors"),
    ),
    names={
        "off": "largest entry of R(k) PE(p) − PE(p + k)",
        "orthogonal": "largest entry of R(k) R(k)ᵀ − 1",
        "spread": "largest distance of PE(p) · PE(p + k) from its mean over p",
        "learned": "share of a learned table that the best linear map leaves unexplained",
    },
    figure=figure,
    caption="Product of two positions' vectors against their distance, from three places",
    reading="Over {setting.positions} positions of width {setting.width} and shifts {setting.shifts}, forwards and "
    "back, R(k) PE(p) misses PE(p + k) by {off} at most. Each pair of a sine and a cosine turns by an angle of its "
    "own, k times its frequency; R(k) is orthogonal up to {orthogonal}, so that the product of two positions depends "
    "on their distance alone, up to {spread}. Of a table as learned positions start with, the best linear map for a "
    "shift leaves {learned}.",
)
