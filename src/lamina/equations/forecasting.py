"""Forecasts: errors, proper scores, and how N-BEATS and the temporal convolutional network are built.

Papers: Hyndman, Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22, 2006
(MASE); Koenker, Bassett, "Regression quantiles", Econometrica 46, 1978 (pinball); Gneiting, Raftery, "Strictly proper
scoring rules, prediction, and estimation", JASA 102, 2007 (CRPS); Oreshkin et al., ICLR 2020, arXiv 1905.10437 (doubly
residual stacking); Bai, Kolter, Koltun, arXiv 1803.01271 (receptive field).

Legend: T steps of training, H steps forecast, m steps of a season, N samples, Q quantiles.

    >>> mase(torch.tensor([5.0, 7.0]), torch.tensor([6.0, 6.0]), torch.tensor([1.0, 2.0, 4.0]))
    tensor(0.6667)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def mase(target: Tensor, forecast: Tensor, train_T: Tensor, season: int = 1) -> Tensor:
    """mean |y - y^| / mean |y_t - y_(t-m)| over the training series; NaN where that is 0, a series that repeats itself.

    Example: ``mase(y, forecast, train, season=24)`` for hours.
    """
    scale = (train_T[season:] - train_T[:-season]).abs().mean()
    error = (target - forecast).abs().mean() / scale
    return torch.where(scale > 0, error, torch.full_like(error, torch.nan))


def smape(target: Tensor, forecast: Tensor) -> Tensor:
    """200 / n sum |y - y^| / (|y| + |y^|), from 0 to 200; 0/0 is 0.

    >>> smape(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0]))
    tensor(50.)
    """
    size = target.abs() + forecast.abs()
    return 200 * torch.where(size > 0, (target - forecast).abs() / size.clamp_min(1e-300), 0.0).mean()


def pinball(target: Tensor, forecast: Tensor, level: float) -> Tensor:
    """max(q (y - p), (q - 1) (y - p)): its expectation is smallest where p is the q-quantile of y.

    >>> pinball(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 2.0]), 0.9)
    tensor([0.9000, 0.1000])
    """
    error = target - forecast
    return torch.maximum(level * error, (level - 1) * error)


def crps_from_quantiles(target: Tensor, quantiles_Q: Tensor) -> Tensor:
    """2 times the mean pinball loss over the levels k / (Q + 1): the CRPS of a distribution known by its quantiles
    (..., Q), to which it tends with Q; |y - p| for one.

    >>> crps_from_quantiles(torch.tensor(3.0), torch.tensor([1.0]))
    tensor(2.)
    """
    count = quantiles_Q.shape[-1]
    losses = [pinball(target, quantiles_Q[..., k], (k + 1) / (count + 1)) for k in range(count)]
    return 2 * torch.stack(losses).mean(0)


def crps_of_ensemble(target: Tensor, samples_N: Tensor) -> Tensor:
    """E|X - y| - E|X - X'| / 2 for the empirical distribution of samples (..., N); |y - x| for one sample.

    >>> crps_of_ensemble(torch.tensor(3.0), torch.tensor([1.0]))
    tensor(2.)
    """
    spread = (samples_N[..., :, None] - samples_N[..., None, :]).abs().mean((-1, -2))
    return (samples_N - target[..., None]).abs().mean(-1) - spread / 2


def crps_of_gaussian(target: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - mu) / s.

    >>> crps_of_gaussian(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(1.0))
    tensor(0.2337)
    """
    z = (target - mean) / std
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    share = torch.erf(z / math.sqrt(2)) + 1  # 2 Phi(z)
    return std * (z * (share - 1) + 2 * density - 1 / math.sqrt(math.pi))


Block = Callable[[Tensor], tuple[Tensor, Tensor]]


def doubly_residual(x: Tensor, blocks: Sequence[Block]) -> tuple[Tensor, list[Tensor]]:
    """x_(l+1) = x_l - b_l and y^ = sum_l y_l of blocks x_l -> (b_l, y_l): what is left of x, and the parts y_l.

    Example: ``left, parts = doubly_residual(x, [block_1, block_2]); forecast = sum(parts)``
    """
    parts = []
    for block in blocks:
        backcast, forecast = block(x)
        x = x - backcast
        parts.append(forecast)
    return x, parts


def receptive_field(kernel_size: int, dilations: Sequence[int]) -> int:
    """1 + sum over blocks of 2 (k - 1) d: steps that two causal convolutions a block see; with d = 1, 2, 4 ... in n
    blocks 1 + 2 (k - 1) (2^n - 1).

    >>> receptive_field(3, (1, 2, 4, 8, 16)), receptive_field(7, [2**i for i in range(8)])
    (125, 3061)
    """
    return 1 + sum(2 * (kernel_size - 1) * dilation for dilation in dilations)


def coverage(target: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The share of values within their interval.

    >>> coverage(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 0.0]), torch.tensor([2.0, 2.0]))
    tensor(0.5000)
    """
    return ((target >= low) & (target <= high)).to(torch.get_default_dtype()).mean()


def phm_score(predicted: Tensor, true: Tensor) -> Tensor:
    """sum of exp(-d / 13) - 1 for d < 0 and exp(d / 10) - 1 for d >= 0, d = predicted - true remaining life: to be late
    costs more (Saxena et al., "Damage propagation modeling", PHM 2008).

    >>> phm_score(torch.tensor([10.0, 0.0]), torch.tensor([0.0, 13.0]))
    tensor(3.4366)
    """
    late = predicted - true
    return torch.where(late < 0, torch.expm1(-late / 13), torch.expm1(late / 10)).sum()
