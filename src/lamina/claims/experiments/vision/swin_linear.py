"""The cost of window attention as the image grows, against that of global attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.building import macs, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.models.swin import WindowAttention
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class CostSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    sides: tuple[int, ...] = (28, 56, 112)
    """of the map, in positions; the claim compares the last with the one before"""
    width: int = 96
    heads: int = 3
    window: int = 7
    """Swin-T's first stage; global attention is a window as wide as the map"""


def measure(settings: CostSettings, seed: int) -> Measurement:
    C, M = settings.width, settings.window
    counted: dict[tuple[str, int], tuple[int, int]] = {}
    off = []
    for side in settings.sides:
        for name, window in (("windows", M), ("global", side)):
            layer = weightless(partial(WindowAttention, C, settings.heads, window, False))
            shape, hw = (1, side, side, C), side**2
            counted[name, side] = (macs(layer, *shape), macs(layer, *shape, products_only=True))
            off.append(abs(counted[name, side][0] - (4 * hw * C**2 + 2 * window**2 * hw * C)))
    before, last = settings.sides[-2:]
    numbers: dict[str, float] = {"off": float(max(off))}
    for name in ("windows", "global"):
        numbers[f"{name}_whole"] = counted[name, last][0] / counted[name, before][0]
        numbers[f"{name}_products"] = counted[name, last][1] / counted[name, before][1]
    numbers["times"] = counted["global", last][0] / counted["windows", last][0]
    model = weightless(partial(create_model, "swin-tiny"))
    numbers["swin_tiny"] = macs(model, 1, 3, 448, 448) / macs(model, 1, 3, 224, 224)
    arrays = {
        name: np.array([counted[name, side][0] for side in settings.sides], dtype=float)
        for name in ("windows", "global")
    }
    return Measurement(numbers=numbers, arrays=arrays)


def figure(figure: Figure, settings: CostSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    positions = [side**2 for side in settings.sides]
    for i, (name, label) in enumerate((("global", "over the whole map"), ("windows", "in windows of 7×7"))):
        axes.plot(positions, measured[0].arrays[name] / 1e9, color=SERIES[i], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="positions", ylabel="billion multiply-adds")
    axes.set_xticks(positions, [f"{side}×{side}" for side in settings.sides])
    axes.minorticks_off()
    legend(axes)
    readable(axes.yaxis)


CLAIM = Claim(
    name="swin-linear",
    sentence="From a map of 56 x 56 to one of 112 x 112, with four times the positions, attention in windows costs 4 "
    "times as much; over the whole map, its products of queries, keys and values cost 16 times as much.",
    source="Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, ICCV 2021, "
    "equations 1 and 2",
    arxiv="2103.14030",
    settings=CostSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="windows_whole", equals=4, why="4hwC² + 2M²hwC: linear in the number of positions hw"),
        Bar(number="global_products", equals=16, why="2(hw)²C: quadratic in it"),
        Bar(number="off", at_most=0.5, why="multiply-adds counted are those of the paper's equations, to the last one"),
    ),
    names={
        "off": "largest difference of counted multiply-adds from the paper's equations",
        "windows_whole": "in windows, all multiply-adds: 112 over 56",
        "windows_products": "in windows, products of activations alone: 112 over 56",
        "global_whole": "over the whole map, all multiply-adds: 112 over 56",
        "global_products": "over the whole map, products of activations alone: 112 over 56",
        "times": "over the whole map / in windows, at 112",
        "swin_tiny": "Swin-T, 448 pixels over 224",
    },
    figure=figure,
    caption="Multiply-adds of one attention layer of Swin-T's first stage, in windows and over the whole map",
    reading="Counted on the layers themselves, attention in windows of {setting.window} x {setting.window} costs "
    "{windows_whole} times as much on four times the positions, its linear layers included. Over the whole map it "
    "costs {global_whole} times as much, {global_products} without the linear layers, and {times} times what the "
    "windows cost at 112 x 112. The whole of Swin-T takes {swin_tiny:5} times as much at 448 pixels as at 224.",
)
