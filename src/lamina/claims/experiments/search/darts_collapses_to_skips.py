"""A differentiable search that goes on for long ends in connections that do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.claims.tiny_darts import search
from lamina.layers.cells.nasbench import EDGE_OPERATIONS
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SKIP = EDGE_OPERATIONS.index("skip_connect")


@dataclass(frozen=True, kw_only=True)
class CollapseSettings(Settings):
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    early: int = 20
    epochs: int = 120
    """at the end; an epoch has 6 steps of the weights and 6 of the architecture"""
    rate: float = 0.02
    """of the architecture"""


def measure(settings: CollapseSettings, seed: int) -> Measurement:
    found = search(seed, settings.epochs, settings.rate)
    skip_T = found.weights_TEO[:, :, SKIP].mean(1)
    early, late = found.accuracy(settings.early), found.accuracy(settings.epochs)
    return Measurement(
        numbers={
            "skips": float(found.cell(settings.epochs).count("skip_connect")),
            "skips_early": float(found.cell(settings.early).count("skip_connect")),
            "worse": (1 - late) / (1 - early),
            "weight": float(skip_T[-1]),
            "accuracy_early": early,
            "accuracy": late,
        },
        arrays={
            "skip": skip_T.double().numpy(),
            "convolution": found.weights_TEO[:, :, EDGE_OPERATIONS.index("nor_conv_3x3")].mean(1).double().numpy(),
        },
    )


def figure(figure: Figure, settings: CollapseSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, label) in enumerate((("skip", "skip connection"), ("convolution", "convolution of 3 x 3"))):
        for k, one in enumerate(measured):
            values = one.arrays[name]
            axes.plot(np.arange(1, len(values) + 1), values, color=SERIES[i], label="" if k else label)
    axes.set(xlabel="epoch", ylabel="weight, mean of the edges")
    axes.set_ylim(bottom=0)
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="darts-collapses-to-skips",
    sentence="A differentiable search that goes on for long chooses skip connections nearly everywhere, and its cell "
    "is worse than the one it had early.",
    source="Zela, Elsken, Saikia, Marrakchi, Brox & Hutter, Understanding and robustifying differentiable architecture "
    "search, ICLR 2020",
    arxiv="1909.09656",
    loose="“DARTS collapses”: in spaces and lengths like the paper's; what is measured here is a space of 125 cells.",
    settings=CollapseSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="skips", at_least=2.0, why="of three edges most"),
        Bar(number="worse", at_least=1.2, why="a fifth more errors than the cell it had early"),
    ),
    names={
        "skips": "skip connections in the cell at the end, of three edges",
        "skips_early": "the same early",
        "worse": "error of the cell at the end over that of the early one, each trained alone",
        "weight": "weight of skip connections at the end, mean of the edges",
        "accuracy_early": "accuracy of the early cell, trained alone",
        "accuracy": "accuracy of the cell at the end, trained alone",
    },
    figure=figure,
    caption="Softmax weights of two operations by epoch, mean of the three edges, a line for each seed",
    reading="After {setting.epochs} epochs {skips} of three edges are skip connections, after {setting.early} epochs "
    "{skips_early}; the cells' accuracies, trained alone, are {accuracy} and {accuracy_early}.",
)
