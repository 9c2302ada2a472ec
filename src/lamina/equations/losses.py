"""Losses of a prediction, and their gradients with respect to it.

Legend: B batch, K classes; z logits; y target probabilities; t targets. ``reduction``: "none" returns the losses
themselves, "sum" their sum, "mean" the sum over their number. With "none" a gradient is that of the sum.

    >>> z_BK, t_B = torch.zeros(2, 10), torch.tensor([3, 7])
    >>> cross_entropy(z_BK, one_hot(t_B, z_BK))  # log 10
    tensor(2.3026)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lamina.equations.activations import sigmoid

Reduction = Literal["none", "sum", "mean"]


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / losses.numel()


def _scale(gradient: Tensor, losses: int, reduction: Reduction) -> Tensor:
    """The gradient of the sum of the losses, or of their mean."""
    return gradient / losses if reduction == "mean" else gradient


def log_sum_exp(z_BK: Tensor) -> Tensor:
    """log sum_k e^z_k, (B,), with the maximum subtracted first, so that no exponential overflows."""
    max_B1 = z_BK.amax(1, keepdim=True)
    return max_B1[:, 0] + torch.log(torch.exp(z_BK - max_B1).sum(1))


def softmax(z_BK: Tensor) -> Tensor:
    """p_k = e^z_k / sum_j e^z_j, (B, K)."""
    return torch.exp(z_BK - log_sum_exp(z_BK)[:, None])


def one_hot(t_B: Tensor, z_BK: Tensor) -> Tensor:
    """Class indices (B,) -> target probabilities y (B, K): 1 at the class, shaped and typed like the logits."""
    return (t_B[:, None] == torch.arange(z_BK.shape[1], device=z_BK.device)).to(z_BK.dtype)


def smooth(y_BK: Tensor, epsilon: float) -> Tensor:
    """y' = (1 - epsilon) y + epsilon / K: label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7)."""
    return (1 - epsilon) * y_BK + epsilon / y_BK.shape[1]


def cross_entropy(z_BK: Tensor, y_BK: Tensor, reduction: Reduction = "mean") -> Tensor:
    """-sum_k y_k log p_k, one loss per sample, p = softmax(z); log p_k = z_k - log sum_j e^z_j avoids log 0."""
    return _reduce(-(y_BK * (z_BK - log_sum_exp(z_BK)[:, None])).sum(1), reduction)


def cross_entropy_gradient(z_BK: Tensor, y_BK: Tensor, reduction: Reduction = "mean") -> Tensor:
    """dL/dz = p - y, divided by B for the mean; every row of y must sum to 1."""
    return _scale(softmax(z_BK) - y_BK, len(z_BK), reduction)


def binary_cross_entropy(z: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """-t log s(z) - (1 - t) log(1 - s(z)) = max(z, 0) - z t + log(1 + e^-|z|), for logits z and t in [0, 1]."""
    return _reduce(z.clamp(min=0) - z * t + torch.log1p(torch.exp(-z.abs())), reduction)


def binary_cross_entropy_gradient(z: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """dL/dz = s(z) - t, divided by the number of losses for the mean."""
    return _scale(sigmoid(z) - t, z.numel(), reduction)


def mse(prediction: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """(prediction - t)^2; its minimum over a constant is the mean of t."""
    return _reduce((prediction - t) ** 2, reduction)


def mse_gradient(prediction: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """2 (prediction - t)."""
    return _scale(2 * (prediction - t), t.numel(), reduction)


def mae(prediction: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """|prediction - t|; its minimum over a constant is the median of t."""
    return _reduce((prediction - t).abs(), reduction)


def mae_gradient(prediction: Tensor, t: Tensor, reduction: Reduction = "mean") -> Tensor:
    """sign(prediction - t), 0 where they are equal (a subgradient)."""
    return _scale(torch.sign(prediction - t), t.numel(), reduction)


def huber(prediction: Tensor, t: Tensor, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """r^2/2 where |r| <= delta, else delta (|r| - delta/2), r = prediction - t (Huber 1964, Ann. Math. Stat. 35)."""
    r = prediction - t
    return _reduce(torch.where(r.abs() <= delta, r**2 / 2, delta * (r.abs() - delta / 2)), reduction)


def huber_gradient(prediction: Tensor, t: Tensor, delta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """r = prediction - t, clipped to [-delta, delta]."""
    return _scale((prediction - t).clamp(-delta, delta), t.numel(), reduction)
