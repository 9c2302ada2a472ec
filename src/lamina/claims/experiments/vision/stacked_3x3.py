"""Stacked 3x3 convolutions see as far as one larger one, with fewer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.report.svg import BETWEEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class StackSettings(Settings):
    channels: int = 8
    side: int = 11
    images: int = 16
    """N(0, 1); a pixel is seen if the gradient of any of them is not zero"""
    depths: tuple[int, ...] = (2, 3)
    """3x3 convolutions with ReLU between, compared with one of (2 depth + 1) x (2 depth + 1)"""


def stack(channels: int, kernels: Sequence[int]) -> nn.Sequential:
    """Convolutions without bias that keep size and channels, ReLU after each."""
    parts: list[nn.Module] = []
    for kernel in kernels:
        parts += [nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False), nn.ReLU()]
    return nn.Sequential(*parts)


def measure(settings: StackSettings, seed: int) -> Measurement:
    numbers, arrays = {}, {}
    for depth in settings.depths:
        for name, kernels in (("stack", [3] * depth), ("single", [2 * depth + 1])):
            net = drawn(partial(stack, settings.channels, kernels), seed, name, depth).double()
            seen_HW = _seen(settings, net, seed)
            rows, columns = np.flatnonzero(seen_HW.any(1)), np.flatnonzero(seen_HW.any(0))
            # a side of the square that it sees; holes or a rectangle would be no square
            square = seen_HW.sum() == len(rows) * len(columns) == len(rows) ** 2
            numbers[f"{name}_{depth}_sees"] = float(len(rows)) if square else 0.0
            weights = sum(weight.numel() for weight in net.parameters())
            numbers[f"{name}_{depth}_weights"] = weights / settings.channels**2
            arrays[f"{name}_{depth}"] = seen_HW.astype(float)
        numbers[f"share_{depth}"] = numbers[f"stack_{depth}_weights"] / numbers[f"single_{depth}_weights"]
    return Measurement(numbers=numbers, arrays=arrays)


def _seen(settings: StackSettings, net: nn.Module, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """The pixels (H, W) that the centre output depends on."""
    size = (settings.images, settings.channels, settings.side, settings.side)
    x = torch.randn(size, generator=generator(seed, "images"), dtype=torch.float64, requires_grad=True)
    middle = settings.side // 2
    (gradient,) = torch.autograd.grad(net(x)[..., middle, middle].sum(), x)
    seen: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = (gradient != 0).any(0).any(0).numpy()
    return seen


def figure(figure: Figure, settings: StackSettings, measured: Sequence[Measurement]) -> None:
    shown = [("stack", depth) for depth in settings.depths] + [("single", depth) for depth in settings.depths]
    for axes, (name, depth) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        seen_HW = measured[0].arrays[f"{name}_{depth}"]
        pixels = torch.zeros(*seen_HW.shape, 4)
        pixels[..., :3] = torch.tensor([int(BETWEEN[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        pixels[..., 3] = 0.12 + 0.88 * torch.from_numpy(seen_HW)
        axes.imshow(pixels.numpy(), interpolation="none")
        axes.grid(visible=False)
        side = 2 * depth + 1
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{depth} of 3×3" if name == "stack" else f"one {side}×{side}")


_SETTINGS = StackSettings()

CLAIM = Claim(
    name="stacked-3x3",
    sentence="Two 3x3 convolutions see 5x5 pixels and three see 7x7, like one 5x5 or 7x7 convolution, with fewer "
    "weights: 18 against 25 and 27 against 49 times C².",
    source="Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015",
    arxiv="1409.1556",
    settings=_SETTINGS,
    measure=measure,
    universal=True,
    bars=tuple(
        bar
        for depth in _SETTINGS.depths
        for bar in (
            Bar(number=f"stack_{depth}_sees", equals=2 * depth + 1, why="each 3x3 adds a pixel on every side"),
            Bar(number=f"single_{depth}_sees", equals=2 * depth + 1, why="what it is compared with sees the same"),
            Bar(number=f"stack_{depth}_weights", equals=9 * depth, why="nine for each pair of channels and layer"),
            Bar(number=f"single_{depth}_weights", equals=(2 * depth + 1) ** 2, why="one for each pixel of its kernel"),
        )
    ),
    names={
        **{f"stack_{d}_sees": f"side of the square that {d} 3x3 convolutions see" for d in _SETTINGS.depths},
        **{f"single_{d}_sees": f"side of the square that one {2 * d + 1}x{2 * d + 1} sees" for d in _SETTINGS.depths},
        **{f"stack_{d}_weights": f"weights of {d} 3x3 convolutions / C²" for d in _SETTINGS.depths},
        **{f"single_{d}_weights": f"weights of one {2 * d + 1}x{2 * d + 1} / C²" for d in _SETTINGS.depths},
        **{f"share_{d}": f"weights of {d} 3x3 over those of one {2 * d + 1}x{2 * d + 1}" for d in _SETTINGS.depths},
    },
    figure=figure,
    caption="The pixels on which the output in the middle depends: where its gradient is not zero (first seed)",
    reading="The gradient of an output reaches {stack_2_sees} x {stack_2_sees} pixels through two and {stack_3_sees} x "
    "{stack_3_sees} through three 3x3 convolutions, which hold {stack_2_weights:4} C² and {stack_3_weights:4} C² "
    "weights: {share_2} and {share_3} of those of one convolution that sees as much. The stack has a ReLU after each "
    "layer besides. The outer pixels of what it sees weigh little, being reached by one path only.",
)
