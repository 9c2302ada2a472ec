"""Initial weights: the very draws of torch.nn.init, the defaults of torch's layers, and the signal they keep."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lamina.equations import initialisation as eq

SHAPES = [(7, 5), (6, 4, 3, 5)]


def same_draw(shape: tuple[int, ...], peer: Callable[[Tensor], Tensor], draw: Callable[[Tensor], Tensor]) -> None:
    """Both fill a tensor from the same seed: only an equal bound or spread gives equal numbers."""
    torch.manual_seed(0)
    theirs = peer(torch.empty(shape, dtype=torch.float64))
    torch.manual_seed(0)
    torch.testing.assert_close(draw(torch.empty(shape, dtype=torch.float64)), theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier_is_torchs(shape: tuple[int, ...], gain: float) -> None:
    bound, std = eq.xavier_bound(*eq.fans(shape), gain), eq.xavier_std(*eq.fans(shape), gain)
    same_draw(shape, lambda w: nn.init.xavier_uniform_(w, gain), lambda w: w.uniform_(-bound, bound))
    same_draw(shape, lambda w: nn.init.xavier_normal_(w, gain), lambda w: w.normal_(0, std))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("a", [0.0, 0.2])
def test_he_is_torchs(shape: tuple[int, ...], a: float) -> None:
    fan_in, fan_out = eq.fans(shape)
    bound, std = eq.he_bound(fan_in, a), eq.he_std(fan_out, a)
    same_draw(shape, lambda w: nn.init.kaiming_uniform_(w, a), lambda w: w.uniform_(-bound, bound))
    same_draw(shape, lambda w: nn.init.kaiming_normal_(w, a, mode="fan_out"), lambda w: w.normal_(0, std))


@pytest.mark.parametrize("shape", SHAPES)
def test_lecun_is_torchs_kaiming_for_a_linear_layer(shape: tuple[int, ...]) -> None:
    fan_in, _ = eq.fans(shape)
    bound, std = eq.lecun_bound(fan_in), eq.lecun_std(fan_in)
    same_draw(shape, lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"), lambda w: w.uniform_(-bound, bound))
    same_draw(shape, lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"), lambda w: w.normal_(0, std))


@pytest.mark.parametrize("build", [lambda: nn.Linear(5, 7), lambda: nn.Conv2d(4, 6, (3, 5))])
def test_torchs_default_layers(build: Callable[[], nn.Linear | nn.Conv2d]) -> None:
    torch.manual_seed(3)
    layer = build()
    assert layer.bias is not None
    bound = eq.torch_default_bound(eq.fans(layer.weight.shape)[0])
    torch.manual_seed(3)
    weight = torch.empty_like(layer.weight).uniform_(-bound, bound)
    bias = torch.empty_like(layer.bias).uniform_(-bound, bound)
    torch.testing.assert_close([weight, bias], [layer.weight.detach(), layer.bias.detach()], rtol=1e-6, atol=0)


def test_the_default_is_he_for_a_slope_of_root_five() -> None:
    assert eq.torch_default_bound(48) == pytest.approx(eq.he_bound(48, a=math.sqrt(5)), rel=1e-12)
    assert (eq.torch_default_bound(48) / eq.he_bound(48)) ** 2 == pytest.approx(1 / 6, rel=1e-12)


def test_without_options_the_rules_are_those_of_the_papers() -> None:
    assert eq.xavier_std(30, 20) ** 2 == pytest.approx(2 / 50, rel=1e-12)
    assert eq.xavier_bound(30, 20) ** 2 == pytest.approx(6 / 50, rel=1e-12)
    assert eq.he_std(30) ** 2 == pytest.approx(2 / 30, rel=1e-12)
    assert eq.he_bound(30) ** 2 == pytest.approx(6 / 30, rel=1e-12)


def test_a_uniform_bound_is_root_three_spreads() -> None:
    w = torch.empty(200_000, dtype=torch.float64)
    w.uniform_(-eq.uniform_bound(0.3), eq.uniform_bound(0.3), generator=torch.Generator().manual_seed(0))
    assert w.std().item() == pytest.approx(0.3, rel=0.01)


def test_he_keeps_the_signal_of_a_deep_relu_net_and_the_default_loses_it() -> None:
    def after_ten_layers(std: float) -> float:
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(64, 256, generator=draw, dtype=torch.float64)
        for _ in range(10):
            x = (x @ (std * torch.randn(256, 256, generator=draw, dtype=torch.float64))).relu()
        return float((x**2).mean())

    assert 0.5 < after_ten_layers(eq.he_std(256)) < 2
    assert after_ten_layers(eq.torch_default_bound(256) / math.sqrt(3)) < 1e-7  # 6^-10 = 1.7e-8
