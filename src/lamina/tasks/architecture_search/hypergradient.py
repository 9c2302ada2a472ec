"""The gradient of an architecture's parameters through one step of the weights (DARTS, arXiv 1806.09055, section 2.3).

    w' = w - xi grad_w L_train(w, a)
    g = grad_a L_val(w', a) - xi grad_a (grad_w L_train(w, a) . v),  v = grad_w' L_val(w', a)

``second_order`` has the last term by automatic differentiation. The paper, and ``by_differences``, has in its place

    xi (grad_a L_train(w + e v, a) - grad_a L_train(w - e v, a)) / (2 e),  e = epsilon / ||v||

which is the same where L_train is quadratic in w; elsewhere it is off by O(e^2), by O(e) at the kinks of ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Loss = Callable[[Weights], Tensor]
"""a loss as a function of the weights; it depends on the architecture's parameters, too"""


def by_differences(
    training: Loss, validation: Loss, weights: Weights, alphas: Sequence[Tensor], xi: float, epsilon: float = 0.01
) -> list[Tensor]:
    """The gradient for each of ``alphas``, the mixed derivative by differences: the paper's.

    >>> w, a = torch.tensor([2.0]), torch.tensor([3.0], requires_grad=True)
    >>> train, val = (lambda w: (w["w"] * a).square().sum() / 2), (lambda w: w["w"].square().sum() / 2)
    >>> by_differences(train, val, {"w": w}, [a], xi=0.1)[0]  # w' = w (1 - xi a^2), so -2 xi a w^2 (1 - xi a^2)
    tensor([-0.2400])
    """
    stepped = _stepped(training, weights, xi)
    loss = validation(stepped)
    found = torch.autograd.grad(loss, [*alphas, *stepped.values()], allow_unused=True, materialize_grads=True)
    direct, slope = found[: len(alphas)], dict(zip(stepped, found[len(alphas) :], strict=True))
    length = torch.stack([part.square().sum() for part in slope.values()]).sum().sqrt()
    if xi == 0 or length == 0:
        return list(direct)
    step = epsilon / float(length)
    plus = _at(training, weights, slope, step, alphas)
    minus = _at(training, weights, slope, -step, alphas)
    return [d - xi * (p - m) / (2 * step) for d, p, m in zip(direct, plus, minus, strict=True)]


def second_order(
    training: Loss, validation: Loss, weights: Weights, alphas: Sequence[Tensor], xi: float
) -> list[Tensor]:
    """The gradient for each of ``alphas``, by automatic differentiation through the step.

    >>> w, a = torch.tensor([2.0]), torch.tensor([3.0], requires_grad=True)
    >>> train, val = (lambda w: (w["w"] * a).square().sum() / 2), (lambda w: w["w"].square().sum() / 2)
    >>> second_order(train, val, {"w": w}, [a], xi=0.1)[0]
    tensor([-0.2400])
    """
    before = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    slope = torch.autograd.grad(
        training(before), list(before.values()), create_graph=True, allow_unused=True, materialize_grads=True
    )
    after = {name: weight - xi * part for (name, weight), part in zip(before.items(), slope, strict=True)}
    return list(torch.autograd.grad(validation(after), list(alphas), allow_unused=True, materialize_grads=True))


def _stepped(training: Loss, weights: Weights, xi: float) -> dict[str, Tensor]:
    """w', of which gradients can be taken."""
    before = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    if xi == 0:
        return before
    slope = torch.autograd.grad(training(before), list(before.values()), allow_unused=True, materialize_grads=True)
    return {
        name: (weight.detach() - xi * part).requires_grad_()
        for (name, weight), part in zip(before.items(), slope, strict=True)
    }


def _at(training: Loss, weights: Weights, slope: Weights, step: float, alphas: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient for the alphas of the training loss at w + step v."""
    moved = {name: weight.detach() + step * slope[name] for name, weight in weights.items()}
    return torch.autograd.grad(training(moved), list(alphas), allow_unused=True, materialize_grads=True)
