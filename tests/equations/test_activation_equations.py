"""Activations and derivatives: torch's values, autograd's slopes, the published facts, and the ends of fp32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lamina.equations import activations as eq
from lamina.layers.activations import Activation, activation

TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x * 1,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled-tanh": lambda x: 1.7159 * torch.tanh(2 * x / 3),
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky-relu": functional.leaky_relu,
    "prelu": lambda x: functional.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
    "elu": functional.elu,
    "swish": functional.silu,
    "swish-trainable": functional.silu,
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu-sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "hard-sigmoid": lambda x: functional.relu6(x + 3) / 6,  # the backward of F.hardsigmoid rounds 1/6 to fp32
    "hard-swish": functional.hardswish,
}
# 4000 points between -10 and 10, none of them on a kink or nearer to 0 than 1e-3; then 0, where torch's slope is ours
POINTS = torch.cat([torch.linspace(-10, 10.001, 4000, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])


def slope(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f'(x) by autograd."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(x).sum(), x)
    return gradient


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_every_activation_of_the_library_has_its_equation() -> None:
    assert set(get_args(Activation)) <= set(eq.PAIRS)
    assert set(TORCH) == set(eq.PAIRS)


@pytest.mark.parametrize("name", eq.PAIRS)
def test_function_and_derivative_equal_torch_and_autograd(name: str) -> None:
    f, df = eq.PAIRS[name]
    close(f(POINTS), TORCH[name](POINTS))
    close(df(POINTS), slope(TORCH[name], POINTS))


@pytest.mark.parametrize("name", get_args(Activation))
def test_the_librarys_modules_compute_the_equations(name: str) -> None:
    module = activation(name).double()
    close(module(POINTS), eq.PAIRS[name][0](POINTS))


@pytest.mark.parametrize("name", eq.PAIRS)
def test_nothing_overflows_in_fp32(name: str) -> None:
    x = torch.tensor([-1e4, -200.0, -89.0, -88.0, 88.0, 89.0, 200.0, 1e4])
    f, df = eq.PAIRS[name]
    torch.testing.assert_close(f(x), TORCH[name](x))
    torch.testing.assert_close(df(x), slope(TORCH[name], x))
    assert slope(f, x).isfinite().all()  # autograd through the branch not taken, too


def test_the_plain_sigmoid_would_lose_the_left_tail() -> None:
    x = torch.tensor([-100.0, -89.0, -20.0])
    exact = torch.exp(x.double())  # sigmoid(x) = e^x to 2e-9 there
    torch.testing.assert_close(eq.sigmoid(x).double(), exact, rtol=1e-4, atol=1e-44)
    assert (1 / (1 + torch.exp(-x)))[0] == 0  # what overflow makes of it
    torch.testing.assert_close(eq.d_sigmoid(-x).double(), exact, rtol=1e-4, atol=1e-44)


def test_autograd_through_sigmoid_is_right_at_zero() -> None:
    assert slope(eq.sigmoid, torch.zeros(1, dtype=torch.float64)).item() == 0.25


@pytest.mark.parametrize("a", [0.0, 0.2, 1.7])
def test_slopes_and_scales_are_honoured(a: float) -> None:
    close(eq.leaky_relu(POINTS, a), functional.leaky_relu(POINTS, a))
    close(eq.d_leaky_relu(POINTS, a), slope(lambda x: functional.leaky_relu(x, a), POINTS))
    close(eq.elu(POINTS, a), functional.elu(POINTS, a))
    close(eq.d_elu(POINTS, a), slope(lambda x: functional.elu(x, a), POINTS))


@pytest.mark.parametrize("shape", [(7, 3), (4, 3, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu_and_the_gradient_of_its_slope(shape: tuple[int, ...], slopes: int) -> None:
    draw = torch.Generator().manual_seed(slopes)
    x = torch.randn(shape, generator=draw, dtype=torch.float64)
    x[0, 0] = 0  # where torch takes the slope a
    x.requires_grad_()
    g = torch.randn(shape, generator=draw, dtype=torch.float64)
    a = torch.rand(slopes, generator=draw, dtype=torch.float64, requires_grad=True)
    y = functional.prelu(x, a)
    dx, da = torch.autograd.grad((g * y).sum(), [x, a])
    with torch.no_grad():
        close(eq.prelu(x, a), y)
        close(g * eq.d_prelu(x, a), dx)
        close(eq.prelu_slope_gradient(g, x, a), da)


@pytest.mark.parametrize("name", ["relu6", "hard-sigmoid"])
def test_flat_and_sloping_parts_meet_as_in_torch(name: str) -> None:
    ends = torch.tensor([-3.0, 0.0, 3.0, 6.0], dtype=torch.float64)
    close(eq.PAIRS[name][1](ends), slope(TORCH[name], ends))


def test_the_default_of_swish_is_silu() -> None:
    close(eq.d_swish_d_beta(POINTS), eq.d_swish_d_beta(POINTS, 1.0))
    close(eq.d_swish(POINTS), slope(functional.silu, POINTS))


@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.5, 1.0, 3.0])
def test_swish_and_its_derivatives_in_x_and_beta(beta: float) -> None:
    b = torch.full_like(POINTS, beta).requires_grad_()
    x = POINTS.clone().requires_grad_()
    y = x * torch.sigmoid(b * x)
    dx, db = torch.autograd.grad(y.sum(), [x, b])
    close(eq.swish(POINTS, beta), y.detach())
    close(eq.d_swish(POINTS, beta), dx)
    close(eq.d_swish_d_beta(POINTS, beta), db)


def test_swish_lies_between_half_of_x_and_relu() -> None:
    close(eq.swish(POINTS, 0.0), POINTS / 2)
    close(eq.swish(POINTS, 1e5), functional.relu(POINTS))


@pytest.mark.parametrize(("name", "at", "value"), [("swish", -1.278465, -0.278465), ("gelu", -0.751792, -0.169971)])
def test_swish_and_gelu_are_not_monotone_their_minimum_is_known(name: str, at: float, value: float) -> None:
    f, df = eq.PAIRS[name]
    x = torch.linspace(-3, 0, 300_001, dtype=torch.float64)
    least, where = f(x).min(0)
    assert least.item() == pytest.approx(value, abs=1e-6)
    assert x[where].item() == pytest.approx(at, abs=2e-5)
    assert df(torch.tensor(at, dtype=torch.float64)).abs() < 1e-6


def test_the_approximations_of_gelu_are_as_far_off_as_known() -> None:
    x = torch.linspace(-8, 8, 1_600_001, dtype=torch.float64)
    error, where = (eq.gelu_tanh(x) - eq.gelu(x)).abs().max(0)
    assert error.item() == pytest.approx(4.7324e-4, abs=1e-8)
    assert abs(x[where].item()) == pytest.approx(2.6989, abs=1e-4)
    assert (eq.gelu_sigmoid(x) - eq.gelu(x)).abs().max().item() == pytest.approx(0.02033, abs=1e-5)


def test_scaled_tanh_maps_one_to_one() -> None:
    ends = eq.scaled_tanh(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert ends.tolist() == pytest.approx([-0.99999726, 0.99999726], abs=5e-9)


def test_the_slope_of_sigmoid_is_at_most_a_quarter() -> None:
    assert eq.d_sigmoid(POINTS).max().item() == 0.25
    assert POINTS[eq.d_sigmoid(POINTS).argmax()].item() == 0


def test_relu_zeroes_half_of_a_symmetric_input_and_elu_has_a_mean_nearer_to_zero() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert 0.49 < (eq.relu(x) == 0).double().mean() < 0.51
    assert eq.relu(x).mean() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.01)
    assert eq.elu(x).mean().abs() < 0.5 * eq.relu(x).mean()
