"""Activations against closed forms written here, in float64, and at the ends of the number line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from lamina.layers.activations import Activation, Swish, activation

NAMES = get_args(Activation)


def logistic(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def split(positive: Callable[[Tensor], Tensor], negative: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.where(x > 0, positive(x), negative(x))


FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "sigmoid": logistic,
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "scaled-tanh": lambda x: 1.7159 * (2 * logistic(4 * x / 3) - 1),
    "relu": split(lambda x: x, lambda x: 0 * x),
    "relu6": split(lambda x: x.clamp(max=6), lambda x: 0 * x),
    "leaky-relu": split(lambda x: x, lambda x: x / 100),
    "prelu": split(lambda x: x, lambda x: x / 4),
    "elu": split(lambda x: x, lambda x: torch.exp(x) - 1),
    "swish": lambda x: x * logistic(x),
    "swish-trainable": lambda x: x * logistic(x),
    "gelu": lambda x: x / 2 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu-tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "hard-sigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
    "hard-swish": lambda x: x * (x + 3).clamp(0, 6) / 6,
}


def test_every_name_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_its_formula(name: str) -> None:
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    got = activation(name).double()(x)
    torch.testing.assert_close(got, FORMULAS[name](x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_its_gradient_is_that_of_finite_differences(name: str) -> None:
    module = activation(name).double()
    x = torch.tensor([-7.3, -2.1, -0.4, 0.3, 1.9, 5.2, 7.7], dtype=torch.float64, requires_grad=True)  # off the kinks
    inputs = (x, *module.parameters())

    def function(x: Tensor, *weights: Tensor) -> Tensor:
        names = [name for name, _ in module.named_parameters()]
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_inputs_give_finite_values_and_gradients(name: str, dtype: torch.dtype) -> None:
    module = activation(name).to(dtype)
    x = torch.tensor([-1e4, -100.0, -89.0, 0.0, 89.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for weight in module.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_far_from_zero_it_is_saturated_or_linear(name: str) -> None:
    x = torch.tensor([-100.0, 100.0], dtype=torch.float64)
    wanted = {
        "identity": (-100, 100),
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "scaled-tanh": (-1.7159, 1.7159),
        "relu6": (0, 6),
        "leaky-relu": (-1, 100),
        "prelu": (-25, 100),
        "elu": (-1, 100),
        "hard-sigmoid": (0, 1),
    }.get(name, (0, 100))
    torch.testing.assert_close(activation(name).double()(x), torch.tensor(wanted, dtype=torch.float64))


def test_scaled_tanh_keeps_one_and_minus_one() -> None:
    x = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert (activation("scaled-tanh")(x) - x).abs().max() < 3e-6


def test_swish_with_beta_zero_is_half_the_input_and_with_a_large_beta_relu() -> None:
    x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    assert torch.equal(Swish(0.0).double()(x), x / 2)
    assert (Swish(1e4).double()(x) - x.relu()).abs().max() < 1e-4


def test_the_trainable_beta_of_swish_has_the_gradient_of_its_formula() -> None:
    module = Swish(0.7, trainable=True).double()
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    module(x).sum().backward()
    gate = torch.sigmoid(0.7 * x)
    assert isinstance(module.beta, nn.Parameter)
    assert module.beta.grad is not None
    torch.testing.assert_close(module.beta.grad, (x**2 * gate * (1 - gate)).sum()[None], rtol=1e-6, atol=0)


def test_only_a_trainable_beta_is_a_weight() -> None:
    assert list(Swish(2.0, trainable=True).state_dict()) == ["beta"]
    assert list(Swish(2.0).state_dict()) == []
    assert [weight.shape for weight in activation("swish-trainable").parameters()] == [(1,)]


def test_the_tanh_form_of_gelu_is_off_by_what_is_known() -> None:
    x = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    difference = (activation("gelu")(x) - activation("gelu-tanh")(x)).abs()
    assert difference.max().item() == pytest.approx(4.7324e-4, rel=1e-4)
    assert x[difference.argmax()].abs().item() == pytest.approx(2.6989, abs=2e-3)


@pytest.mark.parametrize(("name", "least", "where"), [("swish", -0.278465, -1.278465), ("gelu", -0.169971, -0.751792)])
def test_the_least_value_is_where_it_is_known_to_be(name: str, least: float, where: float) -> None:
    x = torch.linspace(-3, 0, 300_001, dtype=torch.float64)
    y = activation(name)(x)
    assert y.min().item() == pytest.approx(least, abs=1e-6)
    assert x[y.argmin()].item() == pytest.approx(where, abs=1e-4)


def test_every_call_gives_a_module_of_its_own() -> None:
    first, second = activation("prelu"), activation("prelu")
    assert next(first.parameters()) is not next(second.parameters())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown activation 'reul'; known: identity, .*relu"):
        activation("reul")
