"""How the maps of a dense block grow, and how the gradient gets back to its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn, largest, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("densenet121", "densenet161", "densenet169", "densenet201")


@dataclass(frozen=True, kw_only=True)
class GrowthSettings(Settings):
    layers: int = 12
    growth_rate: int = 12
    stem_channels: int = 16
    """of the block whose gradients are measured, in float64"""
    batch: int = 4
    side: int = 8
    """its input N(0, 1), the gradient at its output N(0, 1) too"""


def outputs(block: Any, x_0: Tensor) -> list[Tensor]:
    """x_0, x_1, ..., x_n; each layer gets all maps before it."""
    maps = [x_0]
    for layer in block:
        maps.append(layer(list(maps)))
    return maps


def measure(settings: GrowthSettings, seed: int) -> Measurement:
    right = [found == c0 + n * k for name in MODELS for c0, n, k, found in _channels(name)]
    numbers = {"blocks": float(len(right)), "right": sum(right) / len(right)}
    config = {"stem": "small", "growth_rate": settings.growth_rate, "stem_channels": settings.stem_channels}
    model: Any = drawn(
        partial(create_model, "densenet121", blocks=(settings.layers,), image_size=32, **config), seed, "weights"
    ).double()
    block, draw = model.stages[0].block, generator(seed, "tensors")
    c0, n, k = settings.stem_channels, settings.layers, settings.growth_rate
    size = (settings.batch, c0, settings.side, settings.side)
    x_0 = torch.randn(size, generator=draw, dtype=torch.float64, requires_grad=True)
    g = torch.randn(settings.batch, c0 + n * k, *size[2:], generator=draw, dtype=torch.float64)
    (whole,) = torch.autograd.grad(block(x_0), x_0, g)
    direct = g[:, :c0]
    new = torch.cat(outputs(block, x_0)[1:], 1)
    (through,) = torch.autograd.grad(new, x_0, g[:, c0:])
    numbers["off"] = largest(whole - (direct + through)) / largest(whole)
    numbers["without"] = ((whole - through).norm() / whole.norm()).item()
    shares = []
    for upto in range(n + 1):  # the gradient of the first so many layers' maps and of x_0 itself
        maps = outputs(block[:upto], x_0)
        (total,) = torch.autograd.grad(torch.cat(maps, 1), x_0, g[:, : c0 + upto * k])
        shares.append((direct.norm() / total.norm()).item())
    return Measurement(numbers=numbers, arrays={"shares": np.array(shares)})


@cache
def _channels(name: str) -> list[tuple[int, int, int, int]]:
    """(c0, n, k, output channels) of each dense block of a model."""
    model: Any = weightless(partial(create_model, name))
    entries: list[int] = []
    for stage in model.stages:
        stage.block.register_forward_pre_hook(lambda _, inputs: entries.append(inputs[0].shape[1]))
    maps = model.features(torch.empty(1, 3, 64, 64, device="meta"))
    k = model.config.growth_rate
    return [(c0, n, k, out.shape[1]) for c0, n, out in zip(entries, model.config.blocks, maps, strict=True)]


def figure(figure: Figure, settings: GrowthSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    layers = np.arange(settings.layers + 1)
    for i, one in enumerate(measured):
        label = None if i else "direct / whole gradient at x_0"
        axes.plot(layers, one.arrays["shares"], color=SERIES[0], linewidth=1, marker="o", markersize=3, label=label)
    axes.set(xlabel="layers behind x_0", ylabel="ratio of norms", ylim=(0, 1.15))
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="densenet-growth",
    sentence="A dense block of n layers of growth k turns c0 maps into c0 + n k, and the gradient of the loss reaches "
    "its input directly: as that at the first c0 output maps, plus what comes through the layers.",
    source="Huang, Liu, van der Maaten & Weinberger, Densely connected convolutional networks, CVPR 2017",
    arxiv="1608.06993",
    loose="“Each layer is connected to all subsequent layers”: within a dense block only, and by concatenation, not "
    "by addition.",
    settings=GrowthSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="right", equals=1, why="every dense block of the four ImageNet models"),
        Bar(number="off", at_most=1e-12, why="a sum of two terms: float64 rounding at most"),
        Bar(number="without", at_least=0.01, why="the direct term is no trifle: the measure can tell"),
    ),
    names={
        "blocks": "dense blocks looked at",
        "right": "share of them that give c0 + n k maps",
        "off": "largest difference of the gradient at x_0 from direct + through the layers, over its largest value",
        "without": "norm of the direct term over that of the whole gradient",
    },
    figure=figure,
    caption="How much of the gradient at a block's input is the direct term, behind so many layers; one line a seed",
    reading="All of {blocks} dense blocks give c0 + n k maps. In a block of {setting.layers} layers the gradient at "
    "x_0 is that at the block's first output maps plus what the layers send back, up to {off}; the direct term's norm "
    "is {without} of the whole. No weight stands between the loss and x_0, as far as the next transition.",
)
