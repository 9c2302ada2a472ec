"""Styles of another sample from layer k on change what follows alone; truncation to 0 gives one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class MixingSettings(Settings):
    image_size: int = 32
    base: int = 64
    widest: int = 16
    latent: int = 8
    samples: int = 16
    """that truncation draws together"""


def measure(settings: MixingSettings, seed: int) -> Measurement:
    net: Any = drawn(partial(_net, settings), seed, "weights").eval()
    draw = generator(seed, "z")
    z = torch.randn(settings.samples, settings.latent, generator=draw)
    with torch.no_grad():
        w = net.styles(z)
        whole, layers = _layers(net, w[:1]), net.style_layers
        changed = np.zeros((layers, layers))
        for k in range(layers):
            mixed = _layers(net, torch.cat([w[:1, :k], w[1:2, k:]], 1))
            changed[k] = [not torch.equal(a, b) for a, b in zip(whole, mixed, strict=True)]
        pictures = net.pictured(net.styles(z, truncation=0.0))
        spread = float((net.pictured(w)[1:] - net.pictured(w)[:1]).abs().mean())
    before = [changed[k, i] == 0 for k in range(layers) for i in range(k)]
    after = [changed[k, i] == 1 for k in range(layers) for i in range(k, layers)]
    numbers = {
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "truncated": float((pictures - pictures[:1]).abs().max()),
        "spread": spread,
    }
    return Measurement(numbers=numbers, arrays={"changed": changed})


def _layers(net: Any, w: Tensor) -> list[Tensor]:
    """The output of each layer with a style, in order."""
    found: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, args, out: found.append(out))
        for module in net.modules()
        if type(module).__name__ == "Epilogue"
    ]
    net.synthesis(w, net.noise(1, "fixed"))
    for hook in hooks:
        hook.remove()
    return found


def _net(settings: MixingSettings) -> Any:
    options = {name: getattr(settings, name) for name in ("image_size", "base", "widest", "latent")}
    return create_model("stylegan", **options, style=settings.latent, mapping_layers=4).generator


def figure(figure: Figure, settings: MixingSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    mean = np.mean([one.arrays["changed"] for one in measured], 0)
    axes.imshow(mean, cmap="Blues", vmin=0, vmax=1.4)
    axes.set(xlabel="layer", ylabel="first layer with the other style")
    axes.grid(visible=False)
    readable(axes.xaxis, whole=True)
    readable(axes.yaxis, whole=True)


CLAIM = Claim(
    name="style-mixing",
    sentence="With the style of another sample from layer k on, the maps of the layers before k stay the same to the "
    "bit, and all that follow change; styles drawn wholly to their mean give one picture.",
    source="Karras, Laine, Aila, A style-based generator architecture for generative adversarial networks, CVPR 2019",
    arxiv="1812.04948",
    settings=MixingSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="before", equals=1, why="no layer before k knows of the other style"),
        Bar(number="after", equals=1, why="every layer from k on gets another input or another style"),
        Bar(number="truncated", at_most=1e-5, why="float32 rounding, of pictures in batches"),
    ),
    names={
        "before": "share of layers before k that stay the same",
        "after": "share of layers from k on that change",
        "truncated": "largest difference of two pictures at truncation 0",
        "spread": "mean difference of two pictures without truncation",
    },
    figure=figure,
    caption="Layers whose maps change, by the first layer with the other style",
    reading="Of all pairs of layers, {before} of those before the crossover stay the same and {after} of those from it "
    "on change. At truncation 0 sixteen samples differ by {truncated} at most, against {spread} on average without it. "
    "The noise is the same for all pictures here; fresh noise is another source of differences.",
)
