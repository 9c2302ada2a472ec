"""A wider hidden layer approximates better: a continuous target, and one with a jump."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.initialisation import torch_default_bound
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("continuous", "jump")


@dataclass(frozen=True, kw_only=True)
class ApproximationSettings(Settings):
    widths: tuple[int, ...] = (4, 16, 64, 256)
    points: int = 512
    steps: int = 2000
    lr: float = 1e-2
    """of Adam, on all points at once"""


def targets(x_N: Tensor) -> Tensor:
    """(2, N): sin 3x + |x|/2, and sin 3x + sign(x)/2, on [-pi, pi]."""
    return torch.sin(3 * x_N) + torch.stack([0.5 * x_N.abs(), 0.5 * torch.sign(x_N)])


def measure(settings: ApproximationSettings, seed: int) -> Measurement:
    x_N = torch.linspace(-math.pi, math.pi, settings.points)
    numbers: dict[str, float] = {}
    arrays: dict[str, np.ndarray] = {"x": x_N.double().numpy(), "target": targets(x_N).double().numpy()}
    for width in settings.widths:
        best_2, fit_2N = _train(settings, width, x_N, generator(seed, "weights", width))
        numbers |= {f"{kind}_{width}": best for kind, best in zip(KINDS, best_2.tolist(), strict=True)}
        arrays[f"fit_{width}"] = fit_2N.double().numpy()
    for kind in KINDS:
        numbers[f"{kind}_ratio"] = numbers[f"{kind}_64"] / numbers[f"{kind}_4"]
    return Measurement(numbers=numbers, arrays=arrays)


def _train(settings: ApproximationSettings, width: int, x_N: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The smallest mean squared error during training, (2,), and the final fit, (2, N): one net per target."""

    def uniform(fan_in: int, *shape: int) -> Tensor:
        bound = torch_default_bound(fan_in)
        return ((2 * torch.rand(shape, generator=draw) - 1) * bound).requires_grad_()

    w_2H1, b_2H1 = uniform(1, 2, width, 1), uniform(1, 2, width, 1)
    v_21H, c_21 = uniform(width, 2, 1, width), uniform(width, 2, 1)
    optimiser = torch.optim.Adam([w_2H1, b_2H1, v_21H, c_21], settings.lr)
    target_2N = targets(x_N)
    best_2 = torch.full((2,), math.inf)
    for _ in range(settings.steps):
        fit_2N = (v_21H @ torch.tanh(w_2H1 * x_N + b_2H1))[:, 0] + c_21
        error_2 = ((fit_2N - target_2N) ** 2).mean(1)
        best_2 = torch.minimum(best_2, error_2.detach())
        optimiser.zero_grad()
        torch.autograd.backward(error_2.sum())
        optimiser.step()
    return best_2, fit_2N.detach()


def figure(figure: Figure, settings: ApproximationSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    first = measured[0].arrays
    left.plot(first["x"], first["target"][0], color=MUTED, linewidth=3, alpha=0.5, label="target")
    for i, width in enumerate((settings.widths[0], settings.widths[2])):
        left.plot(first["x"], first[f"fit_{width}"][0], color=SERIES[i], label=f"{width} units")
    left.set(xlabel="x", ylabel="net")
    for i, kind in enumerate(KINDS):
        errors_SW = np.array([[one.numbers[f"{kind}_{width}"] for width in settings.widths] for one in measured])
        right.plot(settings.widths, errors_SW.T, "o", color=SERIES[i], alpha=0.4, markersize=4)
        right.plot(settings.widths, np.exp(np.log(errors_SW).mean(0)), color=SERIES[i], label=kind)
    right.set(xscale="log", yscale="log", xlabel="hidden units", ylabel="least mean squared error")
    right.set_xticks(settings.widths, [str(width) for width in settings.widths])
    right.minorticks_off()
    for axes in (left, right):
        legend(axes)
        readable(axes.yaxis)
    readable(left.xaxis)


CLAIM = Claim(
    name="universal-approximation",
    sentence="One hidden tanh layer approximates a function on an interval better as it gets wider: with 64 units "
    "less than half of the mean squared error that 4 reach.",
    source="Cybenko, Math. Control Signals Systems 2, 1989; Hornik, Stinchcombe & White, Neural Networks 2, 1989",
    loose="“A network can approximate any function”: any continuous one on a compact set, with as many units as it "
    "takes and an activation that is no polynomial (Leshno et al. 1993). That weights exist does not say that "
    "training finds them.",
    settings=ApproximationSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="jump_ratio", at_most=0.5, why="measured before as 0.0042 / 0.0153 at the last step, one seed"),
        Bar(number="continuous_ratio", at_most=0.5, why="the same for a target that the theorem speaks of"),
    ),
    names={
        "continuous_ratio": "error with 64 units / error with 4, continuous target",
        "jump_ratio": "error with 64 units / error with 4, target with a jump",
        **{f"{kind}_{width}": f"least error, {width} units, {kind}" for kind in KINDS for width in (4, 16, 64, 256)},
    },
    figure=figure,
    caption="Fits of sin 3x + |x|/2 by 4 and by 64 units after the last step (left); the least error against width "
    "(right), dots for seeds, lines for their geometric mean",
    reading="The error is the least seen in {setting.steps} steps, since the theorem is about what weights exist and "
    "Adam at a constant rate leaves a noise of its own. On the continuous target 4 units reach {continuous_4}, 64 "
    "units {continuous_64}; with a jump, which no continuous net can follow, {jump_4} and {jump_64}. The bar on the "
    "jump comes with a number that clears it 1.8 times itself: a seed whose 4 units do as well cannot clear it twice. "
    "The error need not fall at every width: 256 units end at {continuous_256} and {jump_256}, where training and not "
    "width is the limit.",
)
