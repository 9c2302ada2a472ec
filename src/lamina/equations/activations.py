"""Activations and their derivatives, elementwise: the output has the shape of the input.

``d_name`` is the derivative of ``name`` with respect to x. Where it is discontinuous (such as ReLU at 0) it has the
value that torch's backward uses. ``PAIRS`` lists both by the names that configs use.

    >>> relu(torch.tensor([-1.0, 2.0])), d_relu(torch.tensor([-1.0, 2.0]))
    (tensor([0., 2.]), tensor([0., 1.]))
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def identity(x: Tensor) -> Tensor:
    """f(x) = x."""
    return x


def d_identity(x: Tensor) -> Tensor:
    """f' = 1."""
    return torch.ones_like(x)


def sigmoid(x: Tensor) -> Tensor:
    """s(x) = 1 / (1 + e^-x), with numerator and denominator multiplied by e^min(x, 0).

    Computed literally, e^-x overflows in fp32 below x = -88 and the left tail is lost; here no exponent is positive.
    """
    zero = torch.zeros_like(x)
    numerator, other = torch.exp(torch.minimum(x, zero)), torch.exp(torch.minimum(-x, zero))
    return numerator / (numerator + other)


def d_sigmoid(x: Tensor) -> Tensor:
    """s' = s(x) (1 - s(x)), at most 1/4, at x = 0. 1 - s(x) is computed as s(-x), which is exact in the right tail."""
    return sigmoid(x) * sigmoid(-x)


def tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2 s(2x) - 1."""
    return 2 * sigmoid(2 * x) - 1


def d_tanh(x: Tensor) -> Tensor:
    """tanh' = 1 - tanh^2."""
    return 1 - tanh(x) ** 2


def scaled_tanh(x: Tensor) -> Tensor:
    """f(x) = 1.7159 tanh(2x/3), so that f(+-1) = +-1 to 3e-6 (LeCun et al., Proc. IEEE 86(11), 1998, appendix A)."""
    return 1.7159 * tanh(2 * x / 3)


def d_scaled_tanh(x: Tensor) -> Tensor:
    """f' = 1.7159 (2/3) (1 - tanh^2(2x/3))."""
    return 1.7159 * (2 / 3) * d_tanh(2 * x / 3)


def relu(x: Tensor) -> Tensor:
    """max(0, x) (Nair & Hinton, ICML 2010)."""
    return torch.where(x > 0, x, 0.0)


def d_relu(x: Tensor) -> Tensor:
    """1 where x > 0, else 0; at 0 it is 0."""
    return torch.where(x > 0, torch.ones_like(x), 0.0)


def relu6(x: Tensor) -> Tensor:
    """min(max(0, x), 6) (Krizhevsky 2010; MobileNet)."""
    return x.clamp(0, 6)


def d_relu6(x: Tensor) -> Tensor:
    """1 where 0 < x < 6, else 0."""
    return torch.where((x > 0) & (x < 6), torch.ones_like(x), 0.0)


def leaky_relu(x: Tensor, a: float = 0.01) -> Tensor:
    """x where x >= 0, else a x (Maas et al., ICML workshop 2013); the discriminators of GANs use a = 0.2."""
    return torch.where(x >= 0, x, a * x)


def d_leaky_relu(x: Tensor, a: float = 0.01) -> Tensor:
    """1 where x > 0, else a."""
    return torch.where(x > 0, torch.ones_like(x), a)


def _slope(a: Tensor, x: Tensor) -> Tensor:
    """Reshape the slopes (1,) or (C,) so that they broadcast over the channels of x (N, C, ...)."""
    return a if len(a) == 1 else a.reshape(-1, *[1] * (x.ndim - 2))


def prelu(x: Tensor, a: Tensor) -> Tensor:
    """x where x >= 0, else a x, with a learned: (1,), shared, or (C,) for x (N, C, ...). Eq. 1 of He et al. 2015,
    arXiv 1502.01852; a starts at 0.25 and takes no weight decay."""
    return torch.where(x >= 0, x, _slope(a, x) * x)


def d_prelu(x: Tensor, a: Tensor) -> Tensor:
    """1 where x > 0, else a."""
    return torch.where(x > 0, torch.ones_like(x), _slope(a, x))


def prelu_slope_gradient(g: Tensor, x: Tensor, a: Tensor) -> Tensor:
    """dL/da = sum of g x over the x < 0 that share the slope, for g = dL/df shaped like x (He et al. 2015, eq. 2-3)."""
    terms = torch.where(x < 0, g * x, 0.0)
    return terms.sum().reshape(1) if len(a) == 1 else terms.transpose(0, 1).flatten(1).sum(1)


def elu(x: Tensor, a: float = 1.0) -> Tensor:
    """x where x > 0, else a (e^x - 1) (Clevert et al. 2015, arXiv 1511.07289).

    torch.where computes both branches: without the clamp the unused one would be infinite for large x, and the
    gradient 0 times infinity, NaN.
    """
    return torch.where(x > 0, x, a * torch.expm1(x.clamp(max=0)))


def d_elu(x: Tensor, a: float = 1.0) -> Tensor:
    """1 where x > 0, else f(x) + a = a e^x."""
    return torch.where(x > 0, torch.ones_like(x), a * torch.exp(x.clamp(max=0)))


def swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """x s(beta x) (Ramachandran et al. 2017, arXiv 1710.05941). beta = 1: SiLU; beta = 0: x/2; beta -> inf: ReLU."""
    return x * sigmoid(beta * x)


def d_swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """f' = beta f + s(beta x) (1 - beta f)."""
    f = swish(x, beta)
    return beta * f + sigmoid(beta * x) * (1 - beta * f)


def d_swish_d_beta(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """df/dbeta = x^2 s(beta x) (1 - s(beta x)), elementwise; dL/dbeta sums it, times dL/df."""
    return x**2 * d_sigmoid(beta * x)


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2)."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def d_gelu(x: Tensor) -> Tensor:
    """Phi(x) + x phi(x), phi(x) = e^(-x^2/2) / sqrt(2 pi)."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def gelu_tanh(x: Tensor) -> Tensor:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): an approximation of GELU, off by at most 4.74e-4 (section 2)."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def d_gelu_tanh(x: Tensor) -> Tensor:
    """0.5 (1 + tanh u) + 0.5 x (1 - tanh^2 u) u', with u = sqrt(2/pi) (x + 0.044715 x^3)."""
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + tanh(u)) + 0.5 * x * d_tanh(u) * du


def gelu_sigmoid(x: Tensor) -> Tensor:
    """x s(1.702 x): the rougher approximation of GELU, off by at most 0.0204 (section 2)."""
    return swish(x, 1.702)


def d_gelu_sigmoid(x: Tensor) -> Tensor:
    """The derivative of swish at beta = 1.702."""
    return d_swish(x, 1.702)


def hard_sigmoid(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6 (Howard et al. 2019, MobileNetV3, arXiv 1905.02244, section 5.2)."""
    return relu6(x + 3) / 6


def d_hard_sigmoid(x: Tensor) -> Tensor:
    """1/6 where -3 < x < 3, else 0."""
    return d_relu6(x + 3) / 6


def hard_swish(x: Tensor) -> Tensor:
    """x relu6(x + 3) / 6 (MobileNetV3, section 5.2)."""
    return x * hard_sigmoid(x)


def d_hard_swish(x: Tensor) -> Tensor:
    """0 below -3, (2x + 3) / 6 between, 1 above 3."""
    return hard_sigmoid(x) + x * d_hard_sigmoid(x)


Function = Callable[[Tensor], Tensor]

PAIRS: dict[str, tuple[Function, Function]] = {
    "identity": (identity, d_identity),
    "sigmoid": (sigmoid, d_sigmoid),
    "tanh": (tanh, d_tanh),
    "scaled-tanh": (scaled_tanh, d_scaled_tanh),
    "relu": (relu, d_relu),
    "relu6": (relu6, d_relu6),
    "leaky-relu": (leaky_relu, d_leaky_relu),
    "prelu": (lambda x: leaky_relu(x, 0.25), lambda x: d_leaky_relu(x, 0.25)),  # at its initial slope
    "elu": (elu, d_elu),
    "swish": (swish, d_swish),
    "swish-trainable": (swish, d_swish),  # at its initial beta
    "gelu": (gelu, d_gelu),
    "gelu-tanh": (gelu_tanh, d_gelu_tanh),
    "gelu-sigmoid": (gelu_sigmoid, d_gelu_sigmoid),
    "hard-sigmoid": (hard_sigmoid, d_hard_sigmoid),
    "hard-swish": (hard_swish, d_hard_swish),
}
"""Name -> (function, derivative)."""
