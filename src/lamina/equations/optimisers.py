"""Update rules as pure functions: (parameter, gradient, state) -> (parameter, state). Nothing is modified in place.

Legend: theta parameter of any shape; g its gradient; lr learning rate; all state tensors have the shape of theta.
Weight decay is not part of the rules: ``l2_gradient`` adds it to the gradient, ``decoupled_decay`` shrinks theta.

    >>> theta, g = torch.tensor([1.0]), torch.tensor([0.5])
    >>> theta, state = adam(theta, g, adam_start(theta), lr=0.1)  # the first step is -lr sign(g)
    >>> theta
    tensor([0.9000])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def sgd(theta: Tensor, g: Tensor, lr: float) -> Tensor:
    """theta <- theta - lr g."""
    return theta - lr * g


def l2_gradient(g: Tensor, theta: Tensor, wd: float) -> Tensor:
    """g + wd theta, the gradient of L + (wd/2) ||theta||^2: ``weight_decay`` of torch's SGD, Adam and RMSprop."""
    return g + wd * theta


def decoupled_decay(theta: Tensor, lr: float, wd: float) -> Tensor:
    """theta <- (1 - lr wd) theta: ``weight_decay`` of torch's AdamW (Loshchilov & Hutter, ICLR 2019, arXiv 1711.05101).

    Combined with plain SGD it equals ``l2_gradient``; with a rule that rescales g it does not.
    """
    return (1 - lr * wd) * theta


def momentum(
    theta: Tensor, g: Tensor, v: Tensor | None, lr: float, mu: float = 0.9, dampening: float = 0.0
) -> tuple[Tensor, Tensor]:
    """v <- mu v + (1 - dampening) g; theta <- theta - lr v. torch's form of Polyak's heavy ball (1964).

    ``v`` is None at the first step, where v = g regardless of the dampening.
    """
    v = g if v is None else mu * v + (1 - dampening) * g
    return theta - lr * v, v


def momentum_sutskever(theta: Tensor, g: Tensor, v: Tensor, lr: float, mu: float = 0.9) -> tuple[Tensor, Tensor]:
    """v <- mu v - lr g; theta <- theta + v, from v = 0 (Sutskever et al., ICML 2013, eq. 1-2).

    Here v includes the rate. At a constant rate v is -lr times torch's and the iterates are equal; when lr changes, old
    gradients keep their old rate here and take the new one in torch.
    """
    v = mu * v - lr * g
    return theta + v, v


def nesterov(theta: Tensor, g: Tensor, v: Tensor | None, lr: float, mu: float = 0.9) -> tuple[Tensor, Tensor]:
    """v <- mu v + g; theta <- theta - lr (g + mu v). torch's form: theta is the look-ahead point."""
    v = g if v is None else mu * v + g
    return theta - lr * (g + mu * v), v


def nesterov_sutskever(
    theta: Tensor, gradient: Callable[[Tensor], Tensor], v: Tensor, lr: float, mu: float = 0.9
) -> tuple[Tensor, Tensor]:
    """v <- mu v - lr gradient(theta + mu v); theta <- theta + v (Sutskever et al., ICML 2013, eq. 3-4).

    At a constant rate theta + mu v equals torch's iterates.
    """
    v = mu * v - lr * gradient(theta + mu * v)
    return theta + v, v


class RMSPropState(NamedTuple):
    """s: running mean of squared gradients; v: momentum of the rescaled gradients. Both start at 0."""

    s: Tensor
    v: Tensor


def rmsprop(
    theta: Tensor,
    g: Tensor,
    state: RMSPropState,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    mu: float = 0.0,
) -> tuple[Tensor, RMSPropState]:
    """s <- alpha s + (1 - alpha) g^2; v <- mu v + g / (sqrt(s) + eps); theta <- theta - lr v.

    Tieleman & Hinton, Coursera lecture 6.5 (2012). eps is added outside the root, as in torch.
    """
    s = alpha * state.s + (1 - alpha) * g**2
    v = mu * state.v + g / (torch.sqrt(s) + eps)
    return theta - lr * v, RMSPropState(s, v)


class AdamState(NamedTuple):
    """t: number of steps; m, v: running means of g and g^2 before bias correction. All start at 0."""

    t: int
    m: Tensor
    v: Tensor


def adam_start(theta: Tensor) -> AdamState:
    """The initial state of Adam: t = 0, m = v = 0."""
    return AdamState(0, torch.zeros_like(theta), torch.zeros_like(theta))


def adam(
    theta: Tensor,
    g: Tensor,
    state: AdamState,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    correct: bool = True,
) -> tuple[Tensor, AdamState]:
    """m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; theta <- theta - lr mhat / (sqrt(vhat) + eps), where
    mhat = m / (1 - b1^t) and vhat = v / (1 - b2^t) (Kingma & Ba, ICLR 2015, arXiv 1412.6980, algorithm 1).

    The first step is -lr sign(g) for any scale of g; without bias correction (``correct=False``) it is
    (1-b1) / sqrt(1-b2) = 3.16 times that.
    """
    t = state.t + 1
    m = beta1 * state.m + (1 - beta1) * g
    v = beta2 * state.v + (1 - beta2) * g**2
    m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if correct else (m, v)
    return theta - lr * m_hat / (torch.sqrt(v_hat) + eps), AdamState(t, m, v)


def adamw(
    theta: Tensor,
    g: Tensor,
    state: AdamState,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    wd: float = 0.01,
) -> tuple[Tensor, AdamState]:
    """Shrink theta by (1 - lr wd), then take Adam's step with the gradient of the loss alone (arXiv 1711.05101,
    algorithm 2, with wd multiplied by lr as in torch)."""
    return adam(decoupled_decay(theta, lr, wd), g, state, lr, beta1, beta2, eps)
