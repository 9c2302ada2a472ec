"""Back-propagation through a multilayer perceptron, written out.

Paper: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323 (1986), eq. 4-7.

Legend: B batch; layer l = 1..L has n_l units, weights W_l of shape (n_l, n_{l-1}) as in nn.Linear, bias b_l (n_l,);
z_l pre-activation and a_l activation, both (B, n_l); a_0 = x. Hidden layers apply f; the last layer is linear.
delta_l = dL/dz_l, (B, n_l).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lamina.equations.losses import cross_entropy_gradient, mse_gradient, one_hot

Function = Callable[[Tensor], Tensor]


def forward(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], f: Function
) -> tuple[list[Tensor], list[Tensor]]:
    """z_l = W_l a_{l-1} + b_l and a_l = f(z_l). Returns [z_1..z_L] and [a_0..a_L]."""
    zs: list[Tensor] = []
    activations = [x]
    for W, b in zip(weights, biases, strict=True):
        zs.append(activations[-1] @ W.T + b)
        activations.append(f(zs[-1]) if len(zs) < len(weights) else zs[-1])
    return zs, activations


def delta_mse(z_BK: Tensor, t_BK: Tensor) -> Tensor:
    """delta_L = 2 (z - t) / (B K), for the squared error averaged over batch and outputs.

    The paper's E = 1/2 sum (y - d)^2 has neither the factor 2 nor the mean. If the output layer has an activation f,
    delta_L = delta_mse(f(z), t) f'(z).
    """
    return mse_gradient(z_BK, t_BK)


def delta_softmax_cross_entropy(z_BK: Tensor, t_B: Tensor) -> Tensor:
    """delta_L = (p - y) / B, for the mean cross-entropy of p = softmax(z) with class indices t."""
    return cross_entropy_gradient(z_BK, one_hot(t_B, z_BK))


def backward(
    delta_L: Tensor,
    zs: Sequence[Tensor],
    activations: Sequence[Tensor],
    weights: Sequence[Tensor],
    f_prime: Function,
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """delta_l = (W_{l+1}^T delta_{l+1}) f'(z_l); dL/dW_l = delta_l a_{l-1}^T and dL/db_l = delta_l, summed over B.

    Returns the gradients of all W_l, of all b_l, and of the input, W_1^T delta_1, (B, n_0).
    """
    delta = delta_L
    dW: list[Tensor] = []
    db: list[Tensor] = []
    for layer in reversed(range(len(weights))):
        dW.insert(0, torch.einsum("bi,bj->ij", delta, activations[layer]))
        db.insert(0, delta.sum(0))
        delta = delta @ weights[layer]  # dL/da of the layer below
        if layer > 0:
            delta = delta * f_prime(zs[layer - 1])
    return dW, db, delta
