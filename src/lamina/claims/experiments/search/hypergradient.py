"""DARTS' gradient of the architecture: what the first order leaves out, and what one step leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.report.svg import SERIES, readable
from lamina.tasks.architecture_search.hypergradient import by_differences, second_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class HypergradientSettings(Settings):
    weights: int = 6
    alphas: int = 4
    xi: float = 0.1
    """rate of a step, over the largest curvature"""
    steps: tuple[int, ...] = (1, 10, 100, 1000, 4000)
    """steps that the weights answer with"""


def measure(settings: HypergradientSettings, seed: int) -> Measurement:
    """Training loss (w - B a)' H (w - B a) / 2, of which w* = B a; validation loss ||w - t||^2 / 2, without alphas."""
    draws = generator(seed, "quadratic")
    n, m = settings.weights, settings.alphas
    mixing = torch.randn(n, m, generator=draws, dtype=torch.float64)
    root = torch.randn(n, n, generator=draws, dtype=torch.float64)
    hessian = root @ root.T / n + 0.2 * torch.eye(n, dtype=torch.float64)
    target, start = (torch.randn(n, generator=draws, dtype=torch.float64) for _ in range(2))
    alpha = torch.randn(m, generator=draws, dtype=torch.float64, requires_grad=True)
    rate = settings.xi / float(torch.linalg.eigvalsh(hessian)[-1])

    def training(weights: dict[str, Tensor]) -> Tensor:
        off = weights["w"] - mixing @ alpha
        return off @ hessian @ off / 2

    def validation(weights: dict[str, Tensor]) -> Tensor:
        return (weights["w"] - target).square().sum() / 2

    weights = {"w": start}
    (one,) = second_order(training, validation, weights, [alpha], rate)  # type: ignore[arg-type]
    (differences,) = by_differences(training, validation, weights, [alpha], rate)  # type: ignore[arg-type]
    (first,) = second_order(training, validation, weights, [alpha], 0.0)  # type: ignore[arg-type]
    # the gradient at the weights that answer the alphas in full: w* = B a
    full = mixing.T @ (mixing @ alpha.detach() - target)
    errors = []
    for steps in settings.steps:
        w = start.clone()
        for _ in range(steps):
            w = w - rate * hessian @ (w - mixing @ alpha)
        (unrolled,) = torch.autograd.grad(validation({"w": w}), alpha)
        errors.append(float((unrolled - full).norm() / full.norm()))
    numbers = {
        "differences": float((differences - one).norm() / one.norm()),
        "first": float(first.norm() / full.norm()),
        "one": float((one - full).norm() / full.norm()),
        "many": errors[-1],
    }
    return Measurement(numbers=numbers, arrays={"errors": np.array(errors)})


def figure(figure: Figure, settings: HypergradientSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for one in measured:
        axes.plot(settings.steps, one.arrays["errors"], "o-", color=SERIES[0], alpha=0.6, markersize=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlabel="steps of the weights that are differentiated through", ylabel="distance from the full gradient")
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="hypergradient",
    sentence="DARTS' second-order gradient is that of one step of the weights, exactly where the training loss is "
    "quadratic; neither it nor the first order, which can be zero, is the gradient of the bilevel problem, to which "
    "many steps come.",
    source="Liu, Simonyan & Yang, DARTS: differentiable architecture search, ICLR 2019, section 2.3",
    arxiv="1806.09055",
    loose="“DARTS follows the gradient of the validation loss at the trained weights”: it differentiates through one "
    "small step.",
    settings=HypergradientSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="differences", at_most=1e-8, why="central differences of a quadratic are exact up to rounding"),
        Bar(number="one", at_least=0.2, why="one step is far from the full answer"),
        Bar(number="many", at_most=0.01, why="many steps reach it"),
    ),
    names={
        "differences": "relative difference of the paper's formula from differentiation through the step",
        "first": "norm of the first order / that of the full gradient",
        "one": "relative distance of the second order from the full gradient",
        "many": "the same through the most steps",
    },
    figure=figure,
    caption="Relative distance from the full gradient by the number of steps, a line for each seed",
    reading="The paper's formula is off by {differences} from differentiation through one step. Where the validation "
    "loss knows nothing of the architecture the first order is {first}; one step is {one} away from the gradient at "
    "the weights that answer in full, the most steps {many}.",
)
