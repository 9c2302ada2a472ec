"""How SqueezeNet saves parameters: in the fire modules, and by having no linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from lamina.claims.building import parameters, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FireSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    alexnet: int = 60_965_224
    squeezenet: int = 1_248_424
    """the published numbers of parameters"""
    fire_least: float = 3.0
    """parameters of a 3x3 convolution over those of the fire module in its place"""


def fires() -> list[nn.Module]:
    """SqueezeNet 1.0's fire modules, in order."""
    model = weightless(partial(create_model, "squeezenet-1.0"))
    return [module for module in model.modules() if type(module).__name__ == "Fire"]


def measure(settings: FireSettings, seed: int) -> Measurement:
    alexnet = parameters(weightless(partial(create_model, "alexnet-2012")))
    squeezenet = parameters(weightless(partial(create_model, "squeezenet-1.0")))
    own, plain = [], []
    modules: list[Any] = fires()
    for fire in modules:
        out = fire.expand1x1.out_channels + fire.expand3x3.out_channels
        own.append(parameters(fire))
        plain.append(parameters(nn.Conv2d(fire.squeeze.in_channels, out, 3, device="meta")))
    ratios = np.array(plain) / np.array(own)
    return Measurement(
        numbers={
            "alexnet": alexnet,
            "squeezenet": squeezenet,
            "times": alexnet / squeezenet,
            "modules": len(modules),
            "fire_least": float(ratios.min()),
            "fire_most": float(ratios.max()),
            "fire_all": sum(plain) / sum(own),
        },
        arrays={"fire": np.array(own), "plain": np.array(plain)},
    )


def figure(figure: Figure, settings: FireSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    places = np.arange(len(arrays["fire"]))
    for i, (name, label) in enumerate((("plain", "3×3 convolution"), ("fire", "fire module"))):
        axes.bar(places + 0.4 * i - 0.2, arrays[name] / 1e3, width=0.36, color=SERIES[i], label=label)
    axes.set(yscale="log", ylabel="thousand parameters")
    axes.set_xticks(places, [f"fire{place + 2}" for place in places])
    axes.grid(visible=False, axis="x")
    legend(axes)
    readable(axes.yaxis)


_SETTINGS = FireSettings()

CLAIM = Claim(
    name="fire-module",
    sentence="SqueezeNet has 48.8 times fewer parameters than AlexNet, 1,248,424 against 60,965,224; each of its fire "
    "modules has less than a third of those of a 3x3 convolution between the same channels.",
    source="Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016",
    arxiv="1602.07360",
    loose="“50x fewer”, “0.5 MB”: 48.8 times, and 5 MB in float32; half a megabyte takes Deep Compression besides.",
    settings=_SETTINGS,
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="alexnet", equals=_SETTINGS.alexnet, why="AlexNet of 2012, in two towers"),
        Bar(number="squeezenet", equals=_SETTINGS.squeezenet, why="version 1.0"),
        Bar(number="fire_least", at_least=_SETTINGS.fire_least, why="the fire module that saves least"),
    ),
    names={
        "alexnet": "parameters of AlexNet (2012)",
        "squeezenet": "parameters of SqueezeNet 1.0",
        "times": "AlexNet over SqueezeNet",
        "modules": "fire modules",
        "fire_least": "3x3 over fire module, the one that saves least",
        "fire_most": "3x3 over fire module, the one that saves most",
        "fire_all": "3x3 over fire modules, all together",
    },
    figure=figure,
    caption="Parameters of each fire module and of one 3x3 convolution between the same channels",
    reading="AlexNet has {times:4} times the parameters of SqueezeNet. A 3x3 convolution in place of a fire module "
    "would have {fire_least} to {fire_most} times its parameters, {fire_all} times for all {modules} together: a 1x1 "
    "convolution squeezes the channels to an eighth before half of the maps are expanded by 3x3. The rest is AlexNet's "
    "three linear layers, 96 % of its parameters, which SqueezeNet has not. Nothing is said here of accuracy.",
)
