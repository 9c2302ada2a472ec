"""Dropout, batch and layer normalisation with their gradients, weight decay, ridge regression.

Legend: N batch, C channels or features, x (N, C) or (N, C, H, W); gamma and beta the learned scale and shift;
g = dL/dy. Batch norm takes its statistics over all axes but C; layer norm over the last axis, of D features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inverted_dropout(x: Tensor, keep: Tensor, p: float) -> Tensor:
    """x keep / (1 - p), where keep is 1 with probability 1 - p, else 0 (Hinton et al. 2012, arXiv 1207.0580).

    Scaling in training keeps the mean at x and makes evaluation the identity; the paper halves the weights at test time
    instead. The gradient is the same product with g in place of x.

    >>> inverted_dropout(torch.ones(4), torch.tensor([1.0, 0.0, 1.0, 1.0]), p=0.5)
    tensor([2., 0., 2., 2.])
    """
    return x * keep / (1 - p)


def _by_channel(v_C: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), which broadcasts over x."""
    return v_C.reshape(1, -1, *[1] * (x.ndim - 2))


def _axes(x: Tensor) -> list[int]:
    """All axes except the channels."""
    return [axis for axis in range(x.ndim) if axis != 1]


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance of each channel, (C,) each, and the number M of values they are computed from."""
    mean_C = x.mean(_axes(x))
    var_C = ((x - _by_channel(mean_C, x)) ** 2).mean(_axes(x))
    return mean_C, var_C, x.numel() // x.shape[1]


def batch_norm(x: Tensor, mean_C: Tensor, var_C: Tensor, gamma_C: Tensor, beta_C: Tensor, eps: float = 1e-5) -> Tensor:
    """y = gamma xhat + beta, xhat = (x - mean) / sqrt(var + eps) (Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1).

    Pass the batch's mean and *biased* variance in training, the running ones in evaluation.
    """
    xhat = (x - _by_channel(mean_C, x)) / torch.sqrt(_by_channel(var_C, x) + eps)
    return _by_channel(gamma_C, x) * xhat + _by_channel(beta_C, x)


def running_statistics(
    x: Tensor, running_mean_C: Tensor, running_var_C: Tensor, m: float = 0.1
) -> tuple[Tensor, Tensor]:
    """running <- (1 - m) running + m batch; the variance *unbiased*, times M / (M - 1) (algorithm 2, step 10)."""
    mean_C, var_C, M = batch_statistics(x)
    unbiased_C = var_C * M / (M - 1)
    return (1 - m) * running_mean_C + m * mean_C, (1 - m) * running_var_C + m * unbiased_C


def batch_norm_gradients(g: Tensor, x: Tensor, gamma_C: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """In training: dx = gamma / (M sigma) (M g - sum g - xhat sum(g xhat)), dgamma = sum(g xhat), dbeta = sum g.

    The sums run over a channel's M values; sigma = sqrt(var + eps).
    """
    mean_C, var_C, M = batch_statistics(x)
    sigma = torch.sqrt(_by_channel(var_C, x) + eps)
    xhat = (x - _by_channel(mean_C, x)) / sigma
    dgamma_C, dbeta_C = (g * xhat).sum(_axes(x)), g.sum(_axes(x))
    inner = M * g - _by_channel(dbeta_C, x) - xhat * _by_channel(dgamma_C, x)
    return _by_channel(gamma_C, x) / (M * sigma) * inner, dgamma_C, dbeta_C


def layer_norm(x: Tensor, gamma_D: Tensor, beta_D: Tensor, eps: float = 1e-5) -> Tensor:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and biased variance over the last axis of x (..., D),
    the same in training and evaluation (Ba, Kiros, Hinton 2016, arXiv 1607.06450, eq. 3)."""
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return gamma_D * (x - mean) / torch.sqrt(var + eps) + beta_D


def layer_norm_gradients(g: Tensor, x: Tensor, gamma_D: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """dx = (h - mean h - xhat mean(h xhat)) / sigma with h = gamma g; dgamma = sum(g xhat), dbeta = sum g."""
    mean = x.mean(-1, keepdim=True)
    sigma = torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + eps)
    xhat = (x - mean) / sigma
    h = gamma_D * g
    dx = (h - h.mean(-1, keepdim=True) - xhat * (h * xhat).mean(-1, keepdim=True)) / sigma
    samples = list(range(x.ndim - 1))
    return dx, (g * xhat).sum(samples), g.sum(samples)


def weight_decay(theta: Tensor, lam: float) -> Tensor:
    """The penalty lambda ||theta||^2, a scalar. torch's ``weight_decay`` is 2 lambda."""
    return lam * (theta**2).sum()


def weight_decay_gradient(theta: Tensor, lam: float) -> Tensor:
    """2 lambda theta."""
    return 2 * lam * theta


def ridge(x_ND: Tensor, y_N: Tensor, wd: float) -> Tensor:
    """(X^T X + N wd I)^-1 X^T y, (D,): the minimum of (1/2N) ||Xw - y||^2 + (wd/2) ||w||^2, to which gradient descent
    converges (Hoerl & Kennard, Technometrics 12, 1970). ``wd`` is torch's weight_decay."""
    N, D = x_ND.shape
    ridge_DD = N * wd * torch.eye(D, dtype=x_ND.dtype, device=x_ND.device)
    w_D: Tensor = torch.linalg.solve(x_ND.T @ x_ND + ridge_DD, x_ND.T @ y_N)
    return w_D
