"""Deeper plain networks train worse; with shortcuts they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.initialisation import torch_default_bound
from lamina.equations.losses import cross_entropy, one_hot
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = ("plain", "residual")


@dataclass(frozen=True, kw_only=True)
class DepthSettings(Settings):
    depths: tuple[int, ...] = (4, 20, 60)
    """linear layers in blocks of two, without the first and the last; the claim is about the last depth"""
    width: int = 32
    classes: int = 5
    """arms of a spiral in the plane"""
    samples: int = 1000
    turn: float = 4.0
    """radians that an arm winds"""
    noise: float = 0.1
    """standard deviation of the angle, in radians"""
    steps: int = 400
    batch: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    """of SGD"""


def measure(settings: DepthSettings, seed: int) -> Measurement:
    x_N2, t_N = _spiral(settings, generator(seed, "data"))
    numbers = {}
    for depth in settings.depths:
        for name, loss in zip(NETS, _train(settings, x_N2, t_N, depth, seed), strict=True):
            numbers[f"{name}_{depth}"] = loss
    first, last = settings.depths[0], settings.depths[-1]
    numbers["ratio"] = numbers[f"plain_{last}"] / numbers[f"residual_{last}"]
    numbers["degraded"] = numbers[f"plain_{last}"] / numbers[f"plain_{first}"]
    return Measurement(numbers=numbers)


def _spiral(settings: DepthSettings, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (N, 2) of standard deviation 1, and the arm (N,) that each lies on."""
    t_N = torch.arange(settings.samples) % settings.classes
    radius_N = torch.rand(settings.samples, generator=draw).sqrt()
    angle_N = 2 * math.pi * t_N / settings.classes + settings.turn * radius_N
    angle_N = angle_N + settings.noise * torch.randn(settings.samples, generator=draw)
    x_N2 = torch.stack([radius_N * angle_N.cos(), radius_N * angle_N.sin()], 1)
    return x_N2 / x_N2.std(), t_N


def joined(branch: Tensor, h: Tensor, shortcuts: Tensor) -> Tensor:
    """relu(F(h) + s h), s being 1 for the residual net and 0 for the plain one."""
    return torch.relu(branch + shortcuts * h)


def _train(settings: DepthSettings, x_N2: Tensor, t_N: Tensor, depth: int, seed: int) -> list[float]:
    """Cross-entropy of the whole training set at the end, of the plain and of the residual net.

    Both start from the same weights, see the same batches and are trained in parallel: tensors are (2, width, B).
    """
    draw, order = generator(seed, "weights", depth), generator(seed, "order")
    width = settings.width

    def weights(i: int, o: int) -> Tensor:
        drawn = torch_default_bound(i) * (2 * torch.rand(1, o, i, generator=draw) - 1)
        return drawn.repeat(2, 1, 1).requires_grad_()

    first, first_bias = weights(2, width), torch.zeros(2, width, 1, requires_grad=True)
    layers = [weights(width, width) for _ in range(depth)]
    scales = [torch.ones(2 * width, requires_grad=True) for _ in layers]
    shifts = [torch.zeros(2 * width, requires_grad=True) for _ in layers]
    last, last_bias = weights(width, settings.classes), torch.zeros(2, settings.classes, 1, requires_grad=True)
    shortcuts = torch.tensor([0.0, 1.0]).view(2, 1, 1)

    def layer(i: int, h: Tensor) -> Tensor:
        z = torch.bmm(layers[i], h).view(1, 2 * width, -1)  # batch norm over the batch, by net and unit
        return F.batch_norm(z, None, None, scales[i], shifts[i], training=True).view(h.shape)

    def losses(x_B2: Tensor, t_B: Tensor) -> Tensor:
        h = torch.relu(torch.baddbmm(first_bias, first, x_B2.T.expand(2, -1, -1)))
        for i in range(0, depth, 2):
            h = joined(layer(i + 1, torch.relu(layer(i, h))), h, shortcuts)
        z = torch.baddbmm(last_bias, last, h)
        return torch.stack([cross_entropy(net.T, one_hot(t_B, net.T)) for net in z])

    every = [first, first_bias, *layers, *scales, *shifts, last, last_bias]
    optimiser = torch.optim.SGD(every, settings.lr, momentum=settings.momentum)
    for _ in range(settings.steps):
        rows_B = torch.randint(len(x_N2), (settings.batch,), generator=order)
        optimiser.zero_grad()
        torch.autograd.backward(losses(x_N2[rows_B], t_N[rows_B]).sum())
        optimiser.step()
    with torch.no_grad():
        return list(map(float, losses(x_N2, t_N)))


def figure(figure: Figure, settings: DepthSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, name in enumerate(NETS):
        losses_SD = np.array([[one.numbers[f"{name}_{depth}"] for depth in settings.depths] for one in measured])
        for losses_D in losses_SD:
            axes.plot(settings.depths, losses_D, color=SERIES[i], linewidth=0.8, alpha=0.5)
        axes.plot(settings.depths, np.exp(np.log(losses_SD).mean(0)), color=SERIES[i], marker="o", label=name)
    chance = math.log(settings.classes)
    axes.axhline(chance, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="chance")
    axes.set(yscale="log", xlabel="layers", ylabel="training cross-entropy", xticks=settings.depths)
    legend(axes)
    readable(axes.yaxis)


_SETTINGS = DepthSettings()

CLAIM = Claim(
    name="residual-depth",
    sentence="A plain net of 60 layers does not even fit its training set, where one of 4 does (degradation); with "
    "shortcuts the same 60 layers reach less than a tenth of its training loss.",
    source="He, Zhang, Ren & Sun, Deep residual learning for image recognition, CVPR 2016",
    arxiv="1512.03385",
    loose="“ResNet: training error nearly zero”: true on CIFAR-10, not on ImageNet. The paper's point is that deeper "
    "plain nets have a higher training error, so that it is not overfitting, and residual ones have not.",
    settings=_SETTINGS,
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="ratio", at_least=10.0, why="plain loss over residual loss at 60 layers, as the fact sheet asks"),
        Bar(number="degraded", at_least=2.0, why="more layers, higher training loss: the degradation itself"),
    ),
    names={
        **{
            f"{name}_{depth}": f"training cross-entropy, {name}, {depth} layers"
            for depth in _SETTINGS.depths
            for name in NETS
        },
        "ratio": "plain over residual training loss, 60 layers",
        "degraded": "training loss of 60 over that of 4 plain layers",
    },
    figure=figure,
    caption="Cross-entropy on the training set against depth; a thin line for each seed, the geometric mean over them",
    reading="With 4 layers the plain net ends at {plain_4} and the residual one at {residual_4}; with 20 at {plain_20} "
    "and {residual_20}; with 60 at {plain_60}, next to chance (ln 5 = 1.61), and {residual_60}. Every layer is "
    "followed by batch normalisation, so that vanishing activations or gradients alone do not explain it, and as all "
    "losses are those of the training set, neither does overfitting.",
)
