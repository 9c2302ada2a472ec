"""The Gram matrix of feature maps does not know where a feature is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.report.svg import SERIES, readable
from lamina.stylisation import losses
from lamina.stylisation.features import feature_net

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
CHANGES = {
    "positions": "Gram: positions of the maps permuted",
    "content": "maps: positions of the maps permuted",
    "channels": "Gram: channels of the maps permuted",
    "pixels": "Gram: pixels of the picture permuted",
}


@dataclass(frozen=True, kw_only=True)
class GramSettings(Settings):
    side: int = 48
    """of the picture, a sum of waves of random direction and colour"""
    waves: int = 12
    permutations: int = 5
    """of each kind, for each of relu1_1, relu2_1 and relu3_1 of a VGG-19 with random weights, in float64"""


def measure(settings: GramSettings, seed: int) -> Measurement:
    draw = generator(seed, "tensors")
    net = feature_net("vgg19", seed=seed).double()
    x_BCHW = _picture(settings, draw)
    maps = net(x_BCHW, LAYERS)
    off: dict[str, list[float]] = {name: [] for name in CHANGES}
    for _ in range(settings.permutations):
        pixels = net(_moved(x_BCHW, draw), LAYERS)
        for layer in LAYERS:
            moved_BCHW = _moved(maps[layer], draw)
            turned_BCHW = maps[layer][:, torch.randperm(maps[layer].shape[1], generator=draw)]
            off["positions"].append(_difference(losses.gram(moved_BCHW), losses.gram(maps[layer])))
            off["content"].append(_difference(moved_BCHW, maps[layer]))
            off["channels"].append(_difference(losses.gram(turned_BCHW), losses.gram(maps[layer])))
            off["pixels"].append(_difference(losses.gram(pixels[layer]), losses.gram(maps[layer])))
    return Measurement(
        numbers={name: max(values) if name == "positions" else min(values) for name, values in off.items()},
        arrays={name: np.array(values) for name, values in off.items()},
    )


def _picture(settings: GramSettings, draw: torch.Generator) -> Tensor:
    """(1, 3, side, side), from 0 to 1."""
    place = torch.arange(settings.side, dtype=torch.float64) / settings.side
    turns_W2 = 6 * torch.randn(settings.waves, 2, generator=draw, dtype=torch.float64)
    colours_WC = torch.randn(settings.waves, 3, generator=draw, dtype=torch.float64)
    phase_WHW = turns_W2[:, 0, None, None] * place[:, None] + turns_W2[:, 1, None, None] * place
    picture_CHW = torch.einsum("wc,whv->chv", colours_WC, torch.sin(2 * torch.pi * phase_WHW))
    return torch.sigmoid(picture_CHW)[None]


def _moved(x_BCHW: Tensor, draw: torch.Generator) -> Tensor:
    """Its positions in another order, the same for every channel."""
    x_BCM = x_BCHW.flatten(2)
    return x_BCM[:, :, torch.randperm(x_BCM.shape[2], generator=draw)].view_as(x_BCHW)


def _difference(one: Tensor, other: Tensor) -> float:
    """||one - other|| / ||other||."""
    return float((one - other).norm() / other.norm())


def figure(figure: Figure, settings: GramSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for row, name in enumerate(CHANGES):
        off = np.concatenate([one.arrays[name] for one in measured])
        axes.plot(off, np.full(len(off), row), "o", color=SERIES[int(name != "positions")], alpha=0.3, markersize=5)
    axes.set(xscale="log", xlabel="relative difference", ylim=(len(CHANGES) - 0.5, -0.5))
    axes.set_yticks(range(len(CHANGES)), list(CHANGES.values()))
    readable(axes.xaxis)


CLAIM = Claim(
    name="gram-forgets-position",
    sentence="The Gram matrix of feature maps is the same for any order of their positions: it holds which features "
    "occur together, not where. The maps themselves, which the content loss compares, are not.",
    source="Gatys, Ecker & Bethge, Image style transfer using convolutional neural networks, CVPR 2016",
    arxiv="1508.06576",
    loose="“Style is blind to where pixels are”: positions of the maps, not of the picture: pixels in another order "
    "give other features, and another Gram matrix.",
    settings=GramSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="positions", at_most=1e-12, why="the same sums in another order: float64 rounding at most"),
        Bar(number="content", at_least=0.1, why="maps differ where features have moved"),
        Bar(number="channels", at_least=0.1, why="which feature it is does count: the measure can tell"),
        Bar(number="pixels", at_least=0.1, why="features of a scrambled picture are others"),
    ),
    names={
        "positions": "largest difference of Gram matrices, positions of the maps permuted",
        "content": "smallest difference of the maps, positions permuted",
        "channels": "smallest difference of Gram matrices, channels permuted",
        "pixels": "smallest difference of Gram matrices, pixels of the picture permuted",
    },
    figure=figure,
    caption="Relative differences, a dot for each permutation, layer and seed",
    reading="Over {setting.permutations} permutations of the positions in each of three layers the Gram matrix changes "
    "by {positions} at most, the maps by at least {content}. Channels in another order change it by {channels}, pixels "
    "of the picture by {pixels}.",
)
