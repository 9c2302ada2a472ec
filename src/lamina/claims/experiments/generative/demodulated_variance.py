"""Weights that are modulated by any style and demodulated give outputs of unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.models.stylegan2 import modulated
from lamina.report.svg import INK, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class DemodulationSettings(Settings):
    spreads: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    """styles are 2 to the power of normal numbers times this"""
    channels: int = 64
    side: int = 32
    batch: int = 8


def measure(settings: DemodulationSettings, seed: int) -> Measurement:
    draw, C, S = generator(seed, "maps"), settings.channels, settings.side
    weight = torch.randn(C, C, 3, 3, generator=draw, dtype=torch.float64) / (3 * C**0.5)
    found: dict[str, list[float]] = {"demodulated": [], "modulated": []}
    for spread in settings.spreads:
        x = torch.randn(settings.batch, C, S, S, generator=draw, dtype=torch.float64)
        style = torch.exp2(spread * torch.randn(settings.batch, C, generator=draw, dtype=torch.float64))
        for name, values in found.items():
            out = modulated(x, weight, style, demodulate=name == "demodulated")
            values.append(float(out[:, :, 1:-1, 1:-1].std()))
    off = [abs(value**2 - 1) for value in found["demodulated"]]
    return Measurement(
        numbers={"off": max(off), "modulated": max(found["modulated"])},
        arrays={name: np.array(values) for name, values in found.items()},
    )


def figure(figure: Figure, settings: DemodulationSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, name in enumerate(("demodulated", "modulated")):
        for j, one in enumerate(measured):
            label = {"demodulated": "demodulated", "modulated": "modulated alone"}[name] if not j else None
            axes.plot(settings.spreads, one.arrays[name], "o-", color=SERIES[i], label=label, markersize=3.5)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(yscale="log", xlabel="spread of the styles, in powers of two", ylabel="deviation of the output")
    legend(axes)
    readable(axes.xaxis)


CLAIM = Claim(
    name="demodulated-variance",
    sentence="A convolution whose weights are scaled by a style and demodulated gives unit variance for inputs of unit "
    "variance, whatever the style; without demodulation the variance follows the style.",
    source="Karras et al., Analyzing and improving the image quality of StyleGAN, CVPR 2020",
    arxiv="1912.04958",
    settings=DemodulationSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="off", at_most=0.05, why="within 5 %, at every spread of the styles"),
        Bar(number="modulated", at_least=2, why="of the widest styles, without demodulation"),
    ),
    names={
        "off": "largest difference of the variance from 1, demodulated",
        "modulated": "largest deviation of the output, modulated alone",
    },
    figure=figure,
    caption="Deviation of the output by the spread of the styles, a line for each seed",
    reading="Independent inputs of unit variance: demodulated, the variance is within {off} of 1 for every spread of "
    "the styles; modulated alone, the deviation grows to {modulated}. Real maps are not independent, which is why the "
    "paper calls it an assumption.",
)
