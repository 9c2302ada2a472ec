"""A single threshold unit learns AND and OR, and cannot do XOR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import perceptron
from lamina.report.svg import INK, MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORNERS_42 = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = {
    "AND": torch.tensor([0.0, 0.0, 0.0, 1.0]),
    "OR": torch.tensor([0.0, 1.0, 1.0, 1.0]),
    "XOR": torch.tensor([0.0, 1.0, 1.0, 0.0]),
}


@dataclass(frozen=True, kw_only=True)
class XorSettings(Settings):
    units: int = 100_000
    """random units tried: weights and bias N(0, 1)"""
    passes: int = 100
    """of the learning rule, at most"""


def measure(settings: XorSettings, seed: int) -> Measurement:
    x_43 = perceptron.fold_bias(CORNERS_42)
    w_U3 = torch.randn(settings.units, 3, generator=generator(seed, "units"))
    y_4U = torch.stack([perceptron.output(x_3, w_U3) for x_3 in x_43])
    best_U = (y_4U == TARGETS["XOR"][:, None]).double().mean(0)
    patterns = torch.unique(y_4U.T, dim=0)

    order = torch.randperm(4, generator=generator(seed, "order"))
    numbers = {"xor_best": best_U.max().item(), "functions": float(len(patterns))}
    for name, target_4 in TARGETS.items():
        w_3, _, _ = perceptron.learn(x_43[order], target_4[order], passes=settings.passes)
        numbers[f"{name.lower()}_learned"] = _accuracy(w_3, target_4)
    return Measurement(numbers=numbers)


def _accuracy(w_3: Tensor, target_4: Tensor) -> float:
    y_4 = perceptron.output(w_3, perceptron.fold_bias(CORNERS_42))
    return (y_4 == target_4).double().mean().item()


def figure(figure: Figure, settings: XorSettings, measured: Sequence[Measurement]) -> None:
    """The four cases of each function, with the line that the rule finds from w = 0."""
    for axes, (name, target_4) in zip(figure.subplots(1, 3), TARGETS.items(), strict=True):
        w_3, _, separated = perceptron.learn(perceptron.fold_bias(CORNERS_42), target_4, passes=settings.passes)
        for value, marker in ((0.0, "o"), (1.0, "s")):
            x_N2 = CORNERS_42[target_4 == value]
            axes.plot(x_N2[:, 0], x_N2[:, 1], marker, color=SERIES[int(value)], markersize=9, linestyle="none")
        if separated:
            a, b, c = w_3.tolist()
            axes.axline((0, -c / b), (-c / a, 0), color=INK, linewidth=1.2) if a and b and c else None
        axes.set(xlim=(-0.4, 1.4), ylim=(-0.4, 1.4), aspect="equal", xticks=[0, 1], yticks=[0, 1])
        axes.grid(visible=False)
        axes.set_title(f"{name}: {'separated' if separated else 'no line does'}", color=INK if separated else MUTED)


CLAIM = Claim(
    name="xor",
    sentence="A single threshold unit learns AND and OR exactly, and can never get more than 3 of the 4 cases of XOR.",
    source="Rosenblatt, Psychological Review 65, 1958; Minsky & Papert, Perceptrons, 1969",
    settings=XorSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="xor_best", equals=0.75, why="no line has (0,0), (1,1) on one side and (0,1), (1,0) on the other"),
        Bar(number="functions", equals=14, why="of the 16 functions of two bits all but XOR and its opposite"),
        Bar(number="and_learned", equals=1.0, why="the rule converges where a line exists"),
        Bar(number="or_learned", equals=1.0, why="the rule converges where a line exists"),
    ),
    names={
        "xor_best": "best accuracy on XOR of any random unit",
        "functions": "different functions of two bits among the random units",
        "and_learned": "accuracy of the rule on AND",
        "or_learned": "accuracy of the rule on OR",
        "xor_learned": "accuracy of the rule on XOR",
    },
    figure=figure,
    caption="The four inputs of each function (squares: 1) and the line that the learning rule finds",
    reading="The best of all random units has {xor_best} of XOR right; together they compute {functions} of the 16 "
    "functions of two bits. The learning rule ends on AND with {and_learned} right, on OR with {or_learned}, and on "
    "XOR never ends: it was stopped at {xor_learned}.",
)
