"""Initialisation: the variance of the weights that keeps activations and gradients at one scale across layers.

Each rule fixes a variance; ``*_std`` is the standard deviation of a normal distribution with that variance, ``*_bound``
the half-width a of a uniform one: U(-a, a) has variance a^2/3. fan_in is the number of inputs per output, fan_out the
number of outputs per input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in) or (out, in, kh, kw): channels times kernel positions.

    >>> fans((64, 3, 7, 7))
    (147, 3136)
    """
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def uniform_bound(std: float) -> float:
    """a = sqrt(3) std: U(-a, a) has standard deviation a / sqrt(3)."""
    return math.sqrt(3) * std


def xavier_std(fan_in: int, fan_out: int, gain: float = 1.0) -> float:
    """gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio, AISTATS 2010, eq. 12): for tanh and its like."""
    return gain * math.sqrt(2 / (fan_in + fan_out))


def xavier_bound(fan_in: int, fan_out: int, gain: float = 1.0) -> float:
    """gain sqrt(6 / (fan_in + fan_out)) (eq. 16)."""
    return uniform_bound(xavier_std(fan_in, fan_out, gain))


def he_std(fan_in: int, a: float = 0.0) -> float:
    """sqrt(2 / ((1 + a^2) fan_in)), a the negative slope of a leaky ReLU, 0 for ReLU (He et al. 2015, arXiv 1502.01852,
    eq. 10 and 15): ReLU halves the second moment, the factor 2 compensates."""
    return math.sqrt(2 / ((1 + a**2) * fan_in))


def he_bound(fan_in: int, a: float = 0.0) -> float:
    """sqrt(6 / ((1 + a^2) fan_in))."""
    return uniform_bound(he_std(fan_in, a))


def lecun_std(fan_in: int) -> float:
    """sqrt(1 / fan_in) (LeCun et al., Efficient BackProp, 1998, eq. 16)."""
    return math.sqrt(1 / fan_in)


def lecun_bound(fan_in: int) -> float:
    """sqrt(3 / fan_in)."""
    return uniform_bound(lecun_std(fan_in))


def torch_default_bound(fan_in: int) -> float:
    """1 / sqrt(fan_in), for the weights and biases of nn.Linear and nn.Conv2d: he_bound with a = sqrt 5.

    Its variance, 1 / (3 fan_in), is a sixth of He's, so activations vanish in deep plain ReLU networks.
    """
    return 1 / math.sqrt(fan_in)
