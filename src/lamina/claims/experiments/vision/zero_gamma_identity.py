"""With the last scale of every block at zero, a ResNet starts as its shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("resnet18", "resnet50")
"""basic blocks, bottlenecks"""
SHOWN = 300
"""logits in the figure: all 4,000 would make it a megabyte"""


@dataclass(frozen=True, kw_only=True)
class GammaSettings(Settings):
    side: int = 64
    batch: int = 4
    """images N(0, 1), in float64 and training mode: with the statistics of the batch"""


def measure(settings: GammaSettings, seed: int) -> Measurement:
    size = (settings.batch, 3, settings.side, settings.side)
    x = torch.randn(size, generator=generator(seed, "images"), dtype=torch.float64)
    numbers, arrays = {}, {}
    for name in MODELS:
        for kind, zero in (("zero", True), ("one", False)):
            model = drawn(partial(create_model, name, zero_gamma=zero), seed, name).double().train()
            with torch.no_grad():
                whole, shortcuts = model(x), shortcuts_alone(model, x)
            numbers[f"{name}_{kind}"] = largest(whole - shortcuts) / largest(shortcuts)
            if name == MODELS[0]:
                arrays[f"{kind}_whole"], arrays[f"{kind}_shortcuts"] = whole.numpy(), shortcuts.numpy()
    return Measurement(numbers=numbers, arrays=arrays)


def shortcuts_alone(model: Any, x_BCHW: Tensor) -> Tensor:
    """The logits of stem, shortcuts (each with the ReLU after the sum) and head."""
    x_BCHW = model.stem(x_BCHW)
    for stage in model.stages:
        for block in stage:
            x_BCHW = torch.relu(block.shortcut(x_BCHW))
    logits_BK: Tensor = model.head(model.neck(x_BCHW))
    return logits_BK


def figure(figure: Figure, settings: GammaSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    arrays = measured[0].arrays
    for i, (kind, label) in reversed(list(enumerate((("zero", "gamma = 0"), ("one", "gamma = 1"))))):
        across, up = (np.ravel(arrays[f"{kind}_{part}"])[:SHOWN] for part in ("shortcuts", "whole"))
        axes.plot(across, up, color=SERIES[i], marker="o", markersize=2, linestyle="", label=label)
    axes.set(xlabel="logits of stem, shortcuts and head", ylabel="logits of the whole net")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="zero-gamma-identity",
    sentence="A ResNet whose blocks' last batch-norm scales start at zero gives, before it is trained, exactly the "
    "logits of its stem, shortcuts and head: every block starts as its shortcut.",
    source="Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, section 5.1",
    arxiv="1706.02677",
    loose="“The block is the identity”: the ReLU after the sum stays, and where the shape changes the shortcut is a "
    "projection.",
    settings=GammaSettings(),
    measure=measure,
    universal=True,
    bars=(
        *(Bar(number=f"{name}_zero", at_most=1e-14, why="exactly: adding zeros rounds nothing") for name in MODELS),
        *(Bar(number=f"{name}_one", at_least=0.1, why="with scales of 1 it is not so") for name in MODELS),
    ),
    names={
        f"{name}_{kind}": f"largest difference of logits over the largest logit, {name}, gamma = {number}"
        for name in MODELS
        for kind, number in (("zero", 0), ("one", 1))
    },
    figure=figure,
    caption=f"{SHOWN} logits of ResNet-18, each against that of its stem, shortcuts and head alone (first seed)",
    reading="With the last scales at zero the logits differ by {resnet18_zero} in ResNet-18 and by {resnet50_zero} in "
    "ResNet-50 from those of the net without its branches, batch statistics and all. With scales of one they differ by "
    "{resnet18_one} and {resnet50_one} of the largest logit.",
)
