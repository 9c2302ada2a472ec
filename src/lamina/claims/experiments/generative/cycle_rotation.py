"""Two toy domains, one the other turned: the cycle loss makes translators undo each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class RotationSettings(Settings):
    steps: int = 800
    batch: int = 128
    width: int = 32
    lr: float = 1e-3
    cycle: float = 10.0
    """weight of the cycle loss"""
    angle: float = 60.0
    """degrees that side B is turned by"""
    axes: tuple[float, float] = (2.0, 0.5)
    """deviations of side A along its axes"""
    points: int = 1000
    """to measure with"""


def measure(settings: RotationSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    arrays = {}
    for name, weight in (("with", settings.cycle), ("without", 0.0)):
        there, back = train(settings, weight, seed)
        draw = generator(seed, "test")
        x = sides(settings, settings.points, draw)[0]
        with torch.no_grad():
            made = there(x)
            error = (back(made) - x).norm(dim=1)
        numbers[name] = float(error.mean())
        arrays[name] = np.concatenate([x.numpy(), made.numpy()], 1)
    numbers["ratio"] = numbers["with"] / numbers["without"]
    return Measurement(numbers=numbers, arrays=arrays)


def sides(settings: RotationSettings, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of both sides, (count, 2), of no pairs."""
    spread = torch.tensor(settings.axes)
    angle = torch.tensor(settings.angle / 180 * torch.pi)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    a, b = (spread * torch.randn(count, 2, generator=draw) for _ in range(2))
    return a, b @ turn.T


def _nets(settings: RotationSettings) -> nn.ModuleList:
    def net(out: int) -> nn.Module:
        W = settings.width
        return nn.Sequential(nn.Linear(2, W), nn.ReLU(), nn.Linear(W, W), nn.ReLU(), nn.Linear(W, out))

    return nn.ModuleList([net(2), net(2), net(1), net(1)])


def train(settings: RotationSettings, cycle: float, seed: int) -> tuple[nn.Module, nn.Module]:
    """The translators: least squares, and so much of the cycle loss."""
    there, back, judge_a, judge_b = drawn(partial(_nets, settings), seed, "weights")
    betas, draw = (0.5, 0.999), generator(seed, "training")
    generating = torch.optim.Adam([*there.parameters(), *back.parameters()], settings.lr, betas)
    judging = torch.optim.Adam([*judge_a.parameters(), *judge_b.parameters()], settings.lr, betas)
    for _ in range(settings.steps):
        a, b = sides(settings, settings.batch, draw)
        fake_b, fake_a = there(a), back(b)
        loss = (judge_b(fake_b) - 1).square().mean() + (judge_a(fake_a) - 1).square().mean()
        loss = loss + cycle * (F.l1_loss(back(fake_b), a) + F.l1_loss(there(fake_a), b))
        generating.zero_grad()
        torch.autograd.backward(loss)
        generating.step()
        real = (judge_a(a) - 1).square().mean() + (judge_b(b) - 1).square().mean()
        fake = judge_a(fake_a.detach()).square().mean() + judge_b(fake_b.detach()).square().mean()
        judging.zero_grad()
        torch.autograd.backward((real + fake) / 2)
        judging.step()
    return there, back


def figure(figure: Figure, settings: RotationSettings, measured: Sequence[Measurement]) -> None:
    for i, (axes, name) in enumerate(zip(figure.subplots(1, 2), ("with", "without"), strict=True)):
        points = measured[0].arrays[name][:300]
        axes.plot(points[:, 0], points[:, 1], ".", color=SERIES[0], markersize=3, alpha=0.4, label="side A")
        axes.plot(points[:, 2], points[:, 3], ".", color=SERIES[1], markersize=3, alpha=0.4, label="translated")
        axes.set(title=f"{name} the cycle loss", aspect="equal", xlim=(-6, 6), ylim=(-6, 6))
        if not i:
            legend(axes)
        readable(axes.xaxis)
        readable(axes.yaxis)


CLAIM = Claim(
    name="cycle-rotation",
    sentence="Between two sets of points, one the other turned, the cycle loss brings what goes there and back nearer "
    "to where it began than adversarial losses alone do.",
    source="Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017",
    arxiv="1703.10593",
    loose="“The cycle loss finds the right map”: it finds one that can be undone. Turned by 180 degrees more, or "
    "mirrored, the points are the same set.",
    settings=RotationSettings(),
    measure=measure,
    universal=False,
    bars=(Bar(number="ratio", at_most=0.5, why="half of the error, at least"),),
    names={
        "with": "mean distance of a point and what came back, with the cycle loss",
        "without": "the same without it",
        "ratio": "their ratio",
    },
    figure=figure,
    caption="300 points of side A and their translations, seed 0",
    reading="After {setting.steps} steps a point comes back {with} away from where it began with the cycle loss, "
    "{without} without it: {ratio} of it.",
    width=600,
)
