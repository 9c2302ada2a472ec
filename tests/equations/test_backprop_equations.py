"""Back-propagation by hand equals autograd, for every activation and both losses."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lamina.equations import backprop
from lamina.equations.activations import PAIRS, d_sigmoid, sigmoid

NAMES = [name for name in PAIRS if name != "identity"]


def network(widths: list[int], batch: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Input, weights and biases, all leaves that autograd follows."""
    draw = torch.Generator().manual_seed(sum(widths))

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()

    pairs = list(itertools.pairwise(widths))
    return leaf(batch, widths[0]), [leaf(o, i) for i, o in pairs], [leaf(o) for _, o in pairs]


def torch_forward(x: Tensor, weights: list[Tensor], biases: list[Tensor], name: str) -> Tensor:
    """The same network with functional.linear; the activations themselves are compared with torch's elsewhere."""
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = PAIRS[name][0](functional.linear(x, W, b))
    return functional.linear(x, weights[-1], biases[-1])


def check(loss: Tensor, delta: Tensor, x: Tensor, weights: list[Tensor], biases: list[Tensor], name: str) -> None:
    f, f_prime = PAIRS[name]
    wanted = torch.autograd.grad(loss, [*weights, *biases, x])
    with torch.no_grad():
        zs, activations = backprop.forward(x, weights, biases, f)
        dW, db, dx = backprop.backward(delta, zs, activations, weights, f_prime)
    torch.testing.assert_close([*dW, *db, dx], list(wanted), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("widths", [[3, 5, 4, 2], [4, 3]])
def test_mse_gradients_equal_autograd(name: str, widths: list[int]) -> None:
    x, weights, biases = network(widths, batch=6)
    t = torch.linspace(-1, 1, 6 * widths[-1], dtype=torch.float64).reshape(6, -1)
    z = torch_forward(x, weights, biases, name)
    check(functional.mse_loss(z, t), backprop.delta_mse(z.detach(), t), x, weights, biases, name)


@pytest.mark.parametrize("name", NAMES)
def test_softmax_cross_entropy_gradients_equal_autograd(name: str) -> None:
    x, weights, biases = network([3, 6, 5, 4], batch=5)
    t = torch.tensor([0, 3, 1, 1, 2])
    z = torch_forward(x, weights, biases, name)
    delta = backprop.delta_softmax_cross_entropy(z.detach(), t)
    check(functional.cross_entropy(z, t), delta, x, weights, biases, name)


def test_forward_returns_every_layer_and_a_linear_output() -> None:
    x, weights, biases = network([3, 5, 2], batch=4)
    zs, activations = backprop.forward(x, weights, biases, sigmoid)
    torch.testing.assert_close(zs[0], functional.linear(x, weights[0], biases[0]))
    torch.testing.assert_close(activations, [x, torch.sigmoid(zs[0]), zs[1]])


def test_an_output_activation_multiplies_delta_by_its_slope() -> None:
    # the 1986 net: logistic units everywhere, squared error
    x, weights, biases = network([2, 3, 1], batch=4)
    t = torch.tensor([[0.0], [1.0], [1.0], [0.0]], dtype=torch.float64)
    z = torch_forward(x, weights, biases, "sigmoid")
    loss = functional.mse_loss(torch.sigmoid(z), t)
    delta = backprop.delta_mse(sigmoid(z), t) * d_sigmoid(z)
    check(loss, delta.detach(), x, weights, biases, "sigmoid")
