"""Windows keep information apart; shifting them lets neighbours meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.shading import by_magnitude, shaded
from lamina.models.swin import Block

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class WindowSettings(Settings):
    window: int = 4
    grid: int = 3
    """windows per side"""
    width: int = 8
    heads: int = 2
    """torch's default initialisation, inputs N(0, 1), in float64"""


def blocks(settings: WindowSettings, shifted: bool) -> nn.Sequential:
    """Two blocks of a Swin, the second with or without shifted windows."""
    width, heads, window = settings.width, settings.heads, settings.window
    return nn.Sequential(*(Block(width, heads, window, moves, 0.0) for moves in (False, shifted)))


def measure(settings: WindowSettings, seed: int) -> Measurement:
    grid = settings.grid
    numbers, arrays = {}, {}
    own = torch.eye(grid**2, dtype=torch.bool)
    place = torch.arange(grid**2)
    far = torch.maximum(
        (place[:, None] // grid - place // grid).abs(), (place[:, None] % grid - place % grid).abs()
    )  # 1: windows that touch, at an edge or a corner
    for name, shifted in (("fixed", False), ("shifted", True)):
        net = drawn(partial(blocks, settings, shifted), seed, "weights").double()
        windows_NN = _influence(settings, net, seed)
        scale = windows_NN[own].max()
        numbers[f"{name}_touching"] = (windows_NN[far == 1].max() / scale).item()
        numbers[f"{name}_weakest"] = (windows_NN[far == 1].min() / scale).item()
        numbers[f"{name}_apart"] = (windows_NN[far > 1].max() / scale).item()
        arrays[name] = windows_NN.numpy()
    return Measurement(numbers=numbers, arrays=arrays)


def _influence(settings: WindowSettings, net: nn.Module, seed: int) -> Tensor:
    """(N, N): for each pair of output window and input window the largest derivative of an output position with respect
    to an input value. A position's channels are summed with random weights, so that they do not cancel."""
    side, window, draw = settings.grid * settings.window, settings.window, generator(seed, "tensors")
    x = torch.randn(1, side, side, settings.width, generator=draw, dtype=torch.float64, requires_grad=True)
    out_HWC = net(x)[0]
    out_HW = out_HWC @ torch.randn(settings.width, generator=draw, dtype=torch.float64)
    influence = torch.zeros(settings.grid, settings.grid, settings.grid**2, dtype=torch.float64)
    for row in range(side):
        for column in range(side):
            (gradient,) = torch.autograd.grad(out_HW[row, column], x, retain_graph=True)
            by_place = gradient[0].abs().amax(-1).view(settings.grid, window, settings.grid, window)
            own = influence[row // window, column // window]
            torch.maximum(own, by_place.amax((1, 3)).flatten(), out=own)
    return influence.flatten(0, 1)


def figure(figure: Figure, settings: WindowSettings, measured: Sequence[Measurement]) -> None:
    titles = {"fixed": "windows fixed", "shifted": "second block shifted"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        influence_NN = torch.from_numpy(measured[0].arrays[name])
        axes.imshow(shaded(by_magnitude(influence_NN / influence_NN.max())), interpolation="none")
        axes.grid(visible=False)
        axes.set(xlabel="window of the input", ylabel="window of the output")
        axes.set_title(title)


CLAIM = Claim(
    name="swin-windows",
    sentence="Without a shift no information crosses from one attention window to another; when the second of two "
    "blocks shifts its windows, every window hears of those that touch it, and of no others.",
    source="Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, ICCV 2021",
    arxiv="2103.14030",
    settings=WindowSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="fixed_touching", at_most=1e-12, why="the Jacobian is block-diagonal: no path, no derivative"),
        Bar(number="shifted_weakest", at_least=1e-6, why="every pair of windows that touch, well above rounding"),
        Bar(number="shifted_apart", at_most=1e-12, why="windows that do not touch, those across the edge among them"),
    ),
    names={
        "fixed_touching": "without shift, largest influence on a window that touches",
        "fixed_weakest": "without shift, smallest influence on a window that touches",
        "fixed_apart": "without shift, largest influence on a window that does not",
        "shifted_touching": "with shift, largest influence on a window that touches",
        "shifted_weakest": "with shift, smallest influence on a window that touches",
        "shifted_apart": "with shift, largest influence on a window that does not touch",
    },
    figure=figure,
    caption="Largest derivative of each window's output by each window's input after two blocks, in a 3 x 3 grid of "
    "windows (first seed; logarithmic, empty below a millionth of the largest)",
    reading="Influence is |d out / d in|, its largest value within a window being 1. Two blocks with fixed windows "
    "pass {fixed_touching} to windows that touch. With a shift the weakest pair that touches has {shifted_weakest}, "
    "the strongest {shifted_touching}, and pairs that do not touch {shifted_apart}: the roll brings the two edges of "
    "the map into one window, and the mask keeps them apart there.",
)
