"""A ConvNeXt block starts as almost the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.models.convnext import Block
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ScaleSettings(Settings):
    side: int = 64
    batch: int = 2
    """images N(0, 1), ConvNeXt-T at initialisation, in float64"""
    most: float = 1e-5
    """norm of what a block adds over the norm of its input"""


def measure(settings: ScaleSettings, seed: int) -> Measurement:
    model: Any = drawn(partial(create_model, "convnext-tiny"), seed, "weights").double().eval()
    size = (settings.batch, 3, settings.side, settings.side)
    x = torch.randn(size, generator=generator(seed, "images"), dtype=torch.float64)
    scaled = _added(model, x)
    with torch.no_grad():
        for block in _blocks(model):
            nn.init.ones_(block.gamma)
    unscaled = _added(model, x)
    return Measurement(
        numbers={
            "blocks": len(scaled),
            "most": max(scaled),
            "unscaled_least": min(unscaled),
            "unscaled_most": max(unscaled),
        },
        arrays={"scaled": np.array(scaled), "unscaled": np.array(unscaled)},
    )


def _blocks(model: nn.Module) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def _added(model: Any, x: Tensor) -> list[float]:
    """||block(x) - x|| / ||x|| of every block, for its actual input."""
    shares: list[float] = []
    hooks = [
        block.register_forward_hook(
            lambda _, before, after: shares.append(((after - before[0]).norm() / before[0].norm()).item())
        )
        for block in _blocks(model)
    ]
    with torch.no_grad():
        model.features(x)
    for hook in hooks:
        hook.remove()
    return shares


def figure(figure: Figure, settings: ScaleSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, label) in enumerate((("unscaled", "gamma = 1"), ("scaled", "gamma = 1e-6"))):
        for j, one in enumerate(measured):
            shares = one.arrays[name]
            places = np.arange(1, len(shares) + 1)
            axes.plot(
                places, shares, color=SERIES[i], linewidth=1, marker="o", markersize=3, label=None if j else label
            )
    axes.set(yscale="log", xlabel="block", ylabel="added / input")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


_SETTINGS = ScaleSettings()

CLAIM = Claim(
    name="layer-scale-identity",
    sentence="With LayerScale at 1e-6 every block of ConvNeXt is the identity when training starts, to within a "
    "hundred-thousandth of its input.",
    source="Touvron et al., Going deeper with image transformers, ICCV 2021 (2103.17239); Liu et al., A ConvNet for "
    "the 2020s, CVPR 2022",
    arxiv="2201.03545",
    settings=_SETTINGS,
    measure=measure,
    universal=True,
    bars=(
        Bar(number="most", at_most=_SETTINGS.most, why="ten times gamma: a branch that would add more than ten inputs"),
        Bar(number="unscaled_least", at_least=1e-4, why="with gamma = 1 it is not: the measure can tell"),
    ),
    names={
        "blocks": "blocks of ConvNeXt-T",
        "most": "largest ||block(x) - x|| / ||x||, gamma = 1e-6",
        "unscaled_least": "smallest with gamma = 1",
        "unscaled_most": "largest with gamma = 1",
    },
    figure=figure,
    caption="What each block of ConvNeXt-T adds at the start, over what comes in; a line for each seed",
    reading="None of the {blocks} blocks adds more than {most} of its input. With gamma = 1 they add {unscaled_least} "
    "to {unscaled_most}: the small weights (standard deviation 0.02) keep the branch small too, and LayerScale makes "
    "it vanish. The downsampling layers between the stages have no shortcut and are not meant.",
)
