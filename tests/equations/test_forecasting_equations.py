"""Errors and scores of forecasts against independent forms: integrals, loops, minimisers; values of the protocol."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from lamina.equations import forecasting as equations


def test_mase_and_smape_by_hand() -> None:
    train = torch.tensor([10.0, 20.0, 12.0, 26.0])
    y, p = torch.tensor([11.0, 22.0]), torch.tensor([12.0, 26.0])
    assert equations.mase(y, p, train).item() == pytest.approx(2.5 / ((10 + 8 + 14) / 3))
    assert equations.mase(y, p, train, season=2).item() == pytest.approx(2.5 / 4.0)
    assert torch.isnan(equations.mase(y, p, torch.ones(5)))
    assert torch.isnan(equations.mase(y, y, torch.tensor([1.0, 2.0, 1.0, 2.0]), season=2))
    assert equations.smape(y, p).item() == pytest.approx(100 * (1 / 23 * 2 + 4 / 48 * 2) / 2)
    assert equations.smape(torch.zeros(3), torch.zeros(3)) == 0
    assert equations.smape(torch.ones(3), -torch.ones(3)) == 200


@pytest.mark.parametrize("level", [0.05, 0.3, 0.5, 0.9])
def test_the_least_pinball_loss_is_at_the_quantile(level: float) -> None:
    y = torch.randn(4001, generator=torch.Generator().manual_seed(0), dtype=torch.float64).exp()
    grid = torch.linspace(0, 8, 8001, dtype=torch.float64)
    losses = torch.stack([equations.pinball(y, p, level).mean() for p in grid])
    assert abs(float(grid[losses.argmin()]) - float(torch.quantile(y, level))) < 3e-3


def test_crps_is_the_integral_of_the_squared_difference_of_distribution_functions() -> None:
    draw = np.random.default_rng(0)
    samples, y = np.sort(draw.normal(size=7)), 0.4
    edges = np.sort(np.concatenate([samples, [y]]))
    middle = (edges[1:] + edges[:-1]) / 2
    heights = ((samples[:, None] <= middle).mean(0) - (middle >= y)) ** 2
    expected = float((heights * np.diff(edges)).sum())
    found = equations.crps_of_ensemble(torch.tensor(y, dtype=torch.float64), torch.from_numpy(samples))
    assert found.item() == pytest.approx(expected, abs=1e-12)
    mean, std = 0.7, 1.9
    below, _ = quad(lambda x: norm.cdf(x, mean, std) ** 2, -20, y)
    above, _ = quad(lambda x: (1 - norm.cdf(x, mean, std)) ** 2, y, 25)
    found = equations.crps_of_gaussian(*(torch.tensor(v, dtype=torch.float64) for v in (y, mean, std)))
    assert found.item() == pytest.approx(below + above, abs=1e-7)


def test_crps_from_many_quantiles_and_many_samples_is_that_of_the_distribution() -> None:
    y, one = torch.tensor(0.8).double(), torch.tensor(1.0).double()
    exact = equations.crps_of_gaussian(y, torch.zeros_like(y), one)
    quantiles = torch.from_numpy(norm.ppf(np.arange(1, 2000) / 2000))
    assert equations.crps_from_quantiles(y, quantiles).item() == pytest.approx(exact.item(), rel=2e-3)
    assert equations.crps_of_ensemble(y, quantiles).item() == pytest.approx(exact.item(), rel=2e-3)
    point = torch.tensor([2.5]).double()
    assert equations.crps_of_ensemble(y, point) == equations.crps_from_quantiles(y, point) == (y - 2.5).abs()


def test_doubly_residual_stacking() -> None:
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blocks = [lambda z, a=a: (a * z, z[:, :2] * a) for a in (0.5, 0.25)]
    left, parts = equations.doubly_residual(x, blocks)
    assert torch.allclose(left, 0.75 * 0.5 * x)
    assert torch.allclose(sum(parts), x[:, :2] * (0.5 + 0.25 * 0.5))


@pytest.mark.parametrize(("kernel_size", "levels"), [(3, 5), (7, 8), (2, 4), (1, 3)])
def test_the_receptive_field(kernel_size: int, levels: int) -> None:
    field = equations.receptive_field(kernel_size, [2**level for level in range(levels)])
    assert field == 1 + 2 * (kernel_size - 1) * (2**levels - 1)
    seen = {0}  # by following every convolution back in time
    for level in reversed(range(levels)):
        for _ in range(2):
            seen = {t + 2**level * k for t in seen for k in range(kernel_size)}
    assert max(seen) + 1 == field


def test_the_score_of_remaining_life() -> None:
    late, early = torch.tensor([10.0]), torch.tensor([-13.0])
    zero = torch.zeros(1)
    assert equations.phm_score(late, zero).item() == pytest.approx(math.e - 1)
    assert equations.phm_score(early, zero).item() == pytest.approx(math.e - 1)
    assert equations.phm_score(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 5.0])) == 0
    d = np.linspace(-30, 30, 61)
    expected = sum(math.exp(-x / 13) - 1 if x < 0 else math.exp(x / 10) - 1 for x in d)
    assert equations.phm_score(torch.from_numpy(d), torch.zeros(61)).item() == pytest.approx(expected)


def test_coverage() -> None:
    y = torch.arange(10.0)
    assert equations.coverage(y, torch.full((10,), 2.0), torch.full((10,), 4.0)).item() == pytest.approx(0.3)
