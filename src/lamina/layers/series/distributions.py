"""Distributions of forecast values: from a network's outputs to parameters, their log probability, mean and samples.

A network gives K free numbers for a value; ``parameters`` maps them into the range that the distribution has, and
multiplies what has the unit of the data by the scale of the window (Salinas et al. 2020, arXiv 1704.04110, 3.3).

Student-t: degrees of freedom, location, scale. Gaussian: mean, standard deviation. Negative binomial (counts): mean mu
and shape alpha, variance mu + alpha mu^2.

Legend: K parameters of a value, the last dimension; N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Name = Literal["student-t", "gaussian", "negative-binomial"]
_TINY = 1e-6


@dataclass(frozen=True)
class Distribution:
    """A distribution of a value, ``parameters`` (..., K) of it as a function of free numbers (..., K).

    >>> student = DISTRIBUTIONS["student-t"]
    >>> parameters = student.parameters(torch.zeros(4, 3), torch.ones(4))
    >>> student.log_prob(parameters, torch.zeros(4)).shape, student.sample(parameters).shape
    (torch.Size([4]), torch.Size([4]))
    """

    size: int
    """K"""
    counts: bool
    """whether values are whole numbers from 0 on"""
    parameters: Callable[[Tensor, Tensor], Tensor]
    """free numbers (..., K) and the scale (...) of the window -> parameters (..., K) in the unit of the data"""
    log_prob: Callable[[Tensor, Tensor], Tensor]
    """parameters (..., K) and values (...) -> log density, or log probability of a count, (...)"""
    mean: Callable[[Tensor], Tensor]
    """parameters (..., K) -> mean (...)"""
    sample: Callable[[Tensor], Tensor]
    """parameters (..., K) -> a value (...) each, from torch's default generator"""


def _positive(x: Tensor) -> Tensor:
    return F.softplus(x) + _TINY


def _gamma(shape: Tensor) -> Tensor:
    """A gamma variable of rate 1."""
    value: Tensor = torch.distributions.Gamma(shape, torch.ones_like(shape), validate_args=False).sample()
    return value


def _student_parameters(free: Tensor, scale: Tensor) -> Tensor:
    df, loc, spread = free.unbind(-1)
    return torch.stack([2.0 + _positive(df), loc * scale, _positive(spread) * scale], -1)


def _student_log_prob(parameters: Tensor, value: Tensor) -> Tensor:
    """log Gamma((v+1)/2) - log Gamma(v/2) - log(pi v)/2 - log s - (v+1)/2 log(1 + z^2 / v)."""
    df, loc, scale = parameters.unbind(-1)
    z = (value - loc) / scale
    constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - torch.log(math.pi * df) / 2 - torch.log(scale)
    return constant - (df + 1) / 2 * torch.log1p(z.square() / df)


def _student_sample(parameters: Tensor) -> Tensor:
    df, loc, scale = parameters.unbind(-1)
    chi2 = 2 * _gamma(df / 2)
    return loc + scale * torch.randn_like(loc) * torch.sqrt(df / chi2)


def _gaussian_parameters(free: Tensor, scale: Tensor) -> Tensor:
    mean, spread = free.unbind(-1)
    return torch.stack([mean * scale, _positive(spread) * scale], -1)


def _gaussian_log_prob(parameters: Tensor, value: Tensor) -> Tensor:
    """-z^2 / 2 - log s - log(2 pi) / 2."""
    mean, std = parameters.unbind(-1)
    return -((value - mean) / std).square() / 2 - torch.log(std) - math.log(2 * math.pi) / 2


def _gaussian_sample(parameters: Tensor) -> Tensor:
    mean, std = parameters.unbind(-1)
    return mean + std * torch.randn_like(mean)


def _count_parameters(free: Tensor, scale: Tensor) -> Tensor:
    """mu = scale softplus(o_1), alpha = softplus(o_2) / sqrt(scale)."""
    mean, alpha = free.unbind(-1)
    return torch.stack([_positive(mean) * scale, _positive(alpha) / scale.sqrt()], -1)


def _count_log_prob(parameters: Tensor, value: Tensor) -> Tensor:
    """Gamma(k + r) / (k! Gamma(r)) (1 / (1 + alpha mu))^r (alpha mu / (1 + alpha mu))^k, r = 1 / alpha."""
    mean, alpha = parameters.unbind(-1)
    r, spread = 1 / alpha, alpha * mean
    binomial = torch.lgamma(value + r) - torch.lgamma(value + 1) - torch.lgamma(r)
    return binomial - r * torch.log1p(spread) + value * (torch.log(spread) - torch.log1p(spread))


def _count_sample(parameters: Tensor) -> Tensor:
    """Poisson counts whose rate is a gamma variable of mean mu and shape 1 / alpha."""
    mean, alpha = parameters.unbind(-1)
    return torch.poisson(_gamma(1 / alpha) * alpha * mean)


DISTRIBUTIONS: dict[str, Distribution] = {
    "student-t": Distribution(
        3, False, _student_parameters, _student_log_prob, lambda parameters: parameters[..., 1], _student_sample
    ),
    "gaussian": Distribution(
        2, False, _gaussian_parameters, _gaussian_log_prob, lambda parameters: parameters[..., 0], _gaussian_sample
    ),
    "negative-binomial": Distribution(
        2, True, _count_parameters, _count_log_prob, lambda parameters: parameters[..., 0], _count_sample
    ),
}
