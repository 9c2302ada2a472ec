"""Activations by name: torch's modules where they exist, the others written out.

Every activation is elementwise: the output has the shape of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal[
    "identity",
    "sigmoid",
    "tanh",
    "scaled-tanh",
    "relu",
    "relu6",
    "leaky-relu",
    "prelu",
    "elu",
    "swish",
    "swish-trainable",
    "gelu",
    "gelu-tanh",
    "hard-sigmoid",
    "hard-swish",
]
"""The names accepted by configs."""


class ScaledTanh(nn.Module):
    """f(x) = 1.7159 tanh(2x/3), so that f(+-1) = +-1 (LeCun et al. 1998, Proc. IEEE 86(11), appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Swish(nn.Module):
    """f(x) = x sigmoid(beta x) (Ramachandran et al. 2017, arXiv 1710.05941). beta = 1 is SiLU, beta = 0 is x/2.

    With ``trainable``, beta is a parameter of shape (1,) initialised to ``beta``; otherwise it is a constant.
    """

    beta: Tensor

    def __init__(self, beta: float = 1.0, trainable: bool = False) -> None:
        super().__init__()
        value = torch.full((1,), float(beta))
        if trainable:
            self.beta = nn.Parameter(value)
        else:
            self.register_buffer("beta", value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled-tanh": ScaledTanh,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky-relu": partial(nn.LeakyReLU, 0.01),  # Maas et al. 2013
    "prelu": nn.PReLU,  # one shared slope, initially 0.25 (He et al. 2015, arXiv 1502.01852)
    "elu": nn.ELU,
    "swish": nn.SiLU,
    "swish-trainable": partial(Swish, trainable=True),
    "gelu": nn.GELU,  # exact: x Phi(x)
    "gelu-tanh": partial(nn.GELU, approximate="tanh"),
    "hard-sigmoid": nn.Hardsigmoid,
    "hard-swish": nn.Hardswish,
}


def activation(name: str) -> nn.Module:
    """Build the activation ``name``, a new module. Raises ValueError for an unknown name.

    >>> activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"unknown activation '{name}'; known: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
