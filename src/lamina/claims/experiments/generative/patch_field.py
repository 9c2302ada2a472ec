"""What a logit of the 70 x 70 PatchGAN depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.layers.instance_statistics import InstanceNorm
from lamina.registry import create_model
from lamina.report.svg import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FieldSettings(Settings):
    width: int = 2
    """of the discriminator's first maps"""
    image_size: int = 256


def measure(settings: FieldSettings, seed: int) -> Measurement:
    judge: Any = drawn(partial(_net, settings), seed, "weights").double()
    x = torch.rand(1, 3, settings.image_size, settings.image_size, generator=generator(seed, "x"), dtype=torch.float64)
    whole = _side(judge, x)[0]
    for name, module in list(judge.named_modules()):
        if isinstance(module, InstanceNorm):
            judge.set_submodule(name, nn.Identity())
    side, seen = _side(judge, x)
    return Measurement(numbers={"field": float(side), "normalised": float(whole)}, arrays={"seen": seen})


def _side(judge: Any, x: torch.Tensor) -> tuple[int, Any]:
    """Rows of the picture that the middle logit depends on, and the size of its gradient by pixel."""
    x = x.clone().requires_grad_()
    logit = judge(x)
    (slope,) = torch.autograd.grad(logit[0, 0, logit.shape[2] // 2, logit.shape[3] // 2], x)
    seen = slope[0].abs().sum(0).numpy()
    return int((seen.sum(1) > 0).sum()), seen


def _net(settings: FieldSettings) -> Any:
    options = {"width": 2, "blocks": 0, "discriminator_width": settings.width}
    model: Any = create_model("cyclegan", **options)
    net = model.discriminators.a
    for weight in net.parameters():
        weight.data.abs_()  # so that no path is cut by a rectifier, and none cancels another
    return net


def figure(figure: Figure, settings: FieldSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    axes.imshow(np.log10(measured[0].arrays["seen"] + 1e-12), cmap="Blues")
    axes.grid(visible=False)
    axes.set(xlabel="pixel", ylabel="pixel")
    readable(axes.xaxis, whole=True)
    readable(axes.yaxis, whole=True)


CLAIM = Claim(
    name="patch-field",
    sentence="A logit of the discriminator of CycleGAN depends, by its convolutions, on a patch of 70 x 70 pixels.",
    source="Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017; Zhu et al., "
    "Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017",
    arxiv="1703.10593",
    loose="“The discriminator sees patches of 70 pixels”: with instance normalisation, as in the paper, each logit "
    "depends on the whole picture, by the mean and the deviation of its maps.",
    settings=FieldSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="field", equals=70, why="three convolutions of stride 2 and two of stride 1, all 4 x 4"),
        Bar(number="normalised", equals=256, why="all rows, by the statistics of instance normalisation"),
    ),
    names={
        "field": "rows that a logit depends on, without the norms",
        "normalised": "rows that it depends on, with instance normalisation",
    },
    figure=figure,
    caption="Gradient of the middle logit by pixel, without the norms, logarithmic, seed 0",
    reading="Without its norms the middle logit depends on {field} rows and as many columns; with instance "
    "normalisation on all {normalised}.",
)
