"""What a decoder's output says of the input: Bernoulli, or Gaussian with a fixed or a learned variance.

A negative log-likelihood is a sum over the values of an input, (B,), in nats.

Legend: B batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lamina.data.protocols import Preprocess
from lamina.errors import DataError, UsageError
from lamina.layers.gaussian import Gaussian

LikelihoodName = Literal["auto", "bernoulli", "gaussian", "gaussian-shared", "gaussian-learned"]
Decoded = Tensor | Gaussian
UNIT = (0.0, 1.0)
MARGIN = 1e-4
"""of rounding, around the range of the Bernoulli likelihood"""


class Likelihood:
    """-log p(x|z) of the values of an input; see the subclasses."""

    def losses(self, decoded: Decoded, x: Tensor) -> Tensor:
        """Of each value, of the shape of x."""
        raise NotImplementedError

    def mean(self, decoded: Decoded) -> Tensor:
        """The mean of p(x|z)."""
        raise NotImplementedError

    def draw(self, decoded: Decoded, noise: Tensor) -> Tensor:
        """A draw from p(x|z), by normal numbers of the shape of x."""
        raise UsageError("the task has no distribution p(x|z) to draw values from")

    def check(self, x: Tensor) -> None:
        """Raise DataError for values that the likelihood is not for."""

    def negative_log_likelihood(self, decoded: Decoded, x: Tensor) -> Tensor:
        """A sum over the values of an input, (B,)."""
        return self.losses(decoded, x).flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Likelihood):
    """-sum x log p + (1 - x) log (1 - p) of logits; x lies in [0, 1]."""

    def losses(self, decoded: Decoded, x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(_tensor(decoded), x, reduction="none")

    def mean(self, decoded: Decoded) -> Tensor:
        return torch.sigmoid(_tensor(decoded))

    def draw(self, decoded: Decoded, noise: Tensor) -> Tensor:
        uniform: Tensor = torch.special.ndtr(noise)
        return (uniform < self.mean(decoded)).to(noise)

    def check(self, x: Tensor) -> None:
        """Raise DataError for values outside [0, 1]."""
        low, high = float(x.min()), float(x.max())
        if not (low >= -MARGIN and high <= 1 + MARGIN):
            raise DataError(f"values from {low:.4g} to {high:.4g}: the Bernoulli likelihood is for values from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class FixedGaussian(Likelihood):
    """sum (x - m)^2 / (2 s^2) + log s + log(2 pi) / 2, the standard deviation s the same for every value."""

    scale: float = 1.0

    def losses(self, decoded: Decoded, x: Tensor) -> Tensor:
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return (x - _tensor(decoded)).square() / (2 * self.scale**2) + constant

    def mean(self, decoded: Decoded) -> Tensor:
        return _tensor(decoded)

    def draw(self, decoded: Decoded, noise: Tensor) -> Tensor:
        return _tensor(decoded) + self.scale * noise


@dataclass(frozen=True, kw_only=True)
class LearnedGaussian(Likelihood):
    """As ``FixedGaussian``, the variance from the decoder: a ``Gaussian`` of mean and log-variance."""

    def losses(self, decoded: Decoded, x: Tensor) -> Tensor:
        mean, log_variance = decoded
        return 0.5 * (log_variance + (x - mean).square() * torch.exp(-log_variance) + math.log(2 * math.pi))

    def mean(self, decoded: Decoded) -> Tensor:
        mean: Tensor = decoded[0]
        return mean

    def draw(self, decoded: Decoded, noise: Tensor) -> Tensor:
        mean, log_variance = decoded
        return mean + torch.exp(0.5 * log_variance) * noise


@dataclass(frozen=True, kw_only=True)
class SquaredError(Likelihood):
    """sum (x - x^)^2: no likelihood, but the error of an autoencoder."""

    def losses(self, decoded: Decoded, x: Tensor) -> Tensor:
        return (x - _tensor(decoded)).square()

    def mean(self, decoded: Decoded) -> Tensor:
        return _tensor(decoded)


def expect_unit(preprocess: Preprocess) -> None:
    """Raise UsageError for data whose values do not keep to [0, 1]."""
    bounds = preprocess.signature()[0].bounds
    if bounds is None or not (bounds[0] >= -MARGIN and bounds[1] <= 1 + MARGIN):
        have = "have no bounds" if bounds is None else f"lie between {bounds[0]:.4g} and {bounds[1]:.4g}"
        advice = "" if bounds is None else "--normalisation unit, or "
        raise UsageError(
            f"the bernoulli likelihood is for values from 0 to 1, but these {have}: use {advice}"
            "--objective.likelihood gaussian"
        )


def chosen(name: LikelihoodName, preprocess: Preprocess) -> str:
    """The likelihood that "auto" stands for: Bernoulli for values from 0 to 1, else a Gaussian of one learned
    variance."""
    if name != "auto":
        return name
    bounds = preprocess.signature()[0].bounds
    return "bernoulli" if bounds is not None and (UNIT[0] <= bounds[0] and bounds[1] <= UNIT[1]) else "gaussian-shared"


def _tensor(decoded: Decoded) -> Tensor:
    """The decoder's output, where it is one tensor."""
    if isinstance(decoded, Tensor):
        return decoded
    raise UsageError("the model's decoder gives a variance: use --objective.likelihood gaussian-learned")
