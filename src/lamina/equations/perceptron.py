"""Rosenblatt's perceptron: a hard threshold, and a rule that changes the weights only after a mistake.

Paper: Rosenblatt, "The perceptron", Psychological Review 65 (1958); the bound: Novikoff, "On convergence proofs for
perceptrons", Symposium on the Mathematical Theory of Automata (1962).

Legend: N samples, D inputs. The bias is folded into the weights as the weight of a constant input 1 (``fold_bias``).
Targets t are 0 or 1. A perceptron is not a sigmoid neuron: its output is not differentiable, and its rule is not the
gradient of a smooth loss.

    >>> x_ND = fold_bias(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    >>> w_D, mistakes, converged = learn(x_ND, torch.tensor([0.0, 0.0, 0.0, 1.0]))  # logical and
    >>> output(w_D, x_ND), converged
    (tensor([0., 0., 0., 1.]), True)
"""

from __future__ import annotations

import torch
from torch import Tensor


def fold_bias(x_ND: Tensor) -> Tensor:
    """Append a constant input 1, (N, D) -> (N, D + 1), so that w.x + b becomes one product."""
    return torch.cat([x_ND, torch.ones_like(x_ND[:, :1])], dim=1)


def step(z: Tensor) -> Tensor:
    """H(z) = 1 for z >= 0, else 0; any shape."""
    return (z >= 0).to(z.dtype)


def output(w_D: Tensor, x_ND: Tensor) -> Tensor:
    """y = H(w.x), of shape (N,)."""
    return step(x_ND @ w_D)


def learn_one(w_D: Tensor, x_D: Tensor, t: Tensor, lr: float = 1.0) -> Tensor:
    """w <- w + lr (t - y) x (Rosenblatt 1958), for one sample: nothing changes if y = t. ``t`` is a scalar."""
    return w_D + lr * (t - step(w_D @ x_D)) * x_D


def learn_pass(w_D: Tensor, x_ND: Tensor, t_N: Tensor, lr: float = 1.0) -> tuple[Tensor, int]:
    """One pass over the samples, in order. Returns the weights and the number of mistakes made."""
    mistakes = 0
    for x_D, t in zip(x_ND, t_N, strict=True):
        mistakes += int(step(w_D @ x_D) != t)
        w_D = learn_one(w_D, x_D, t, lr)
    return w_D, mistakes


def learn(x_ND: Tensor, t_N: Tensor, lr: float = 1.0, passes: int = 1000) -> tuple[Tensor, int, bool]:
    """Starting from w = 0, repeat passes until one has no mistake, at most ``passes`` times.

    Returns the weights (D,), the total number of mistakes, and whether the last pass had none. From w = 0 the rate only
    scales w, so it changes neither the mistakes nor the decisions.
    """
    w_D, total = torch.zeros_like(x_ND[0]), 0
    for _ in range(passes):
        w_D, mistakes = learn_pass(w_D, x_ND, t_N, lr)
        total += mistakes
        if mistakes == 0:
            return w_D, total, True
    return w_D, total, False


def radius(x_ND: Tensor) -> Tensor:
    """R = max_i ||x_i||, including the constant input if the bias is folded in."""
    return torch.sqrt((x_ND**2).sum(1)).max()


def margin(w_D: Tensor, x_ND: Tensor, t_N: Tensor) -> Tensor:
    """gamma = min_i s_i w.x_i / ||w||, with signs s = 2t - 1; positive if w separates the samples."""
    return ((2 * t_N - 1) * (x_ND @ w_D)).min() / torch.sqrt((w_D**2).sum())


def mistake_bound(w_D: Tensor, x_ND: Tensor, t_N: Tensor) -> Tensor:
    """(R / gamma)^2, the maximum number of mistakes of the rule for any order of the samples (Novikoff 1962).

    It holds for every separating ``w_D``; the one with the largest margin gives the tightest bound. Raises ValueError
    if ``w_D`` does not separate the samples.
    """
    gamma = margin(w_D, x_ND, t_N)
    if gamma <= 0:
        raise ValueError(f"the weights do not separate the samples: margin {gamma.item():.3g}")
    return (radius(x_ND) / gamma) ** 2
