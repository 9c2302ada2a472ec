"""Divergences and likelihoods: torch's distributions, Monte Carlo, and the bounds in their order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from lamina.equations import variational as equations


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(mean: Tensor, log_variance: Tensor) -> Normal:
    return Normal(mean, (0.5 * log_variance).exp())


def test_the_divergence_of_the_fact_sheet() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[0.2, -0.7]]).double()
    kl = equations.kl_to_standard_normal(mean, log_variance)
    assert kl.item() == pytest.approx(0.733994, abs=5e-7)
    z = equations.reparameterise(mean, log_variance, randn(0, 200_000, 2))
    drawn = normal(mean, log_variance).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    assert drawn.sum(1).mean().item() == pytest.approx(0.733994, abs=0.01)
    assert equations.kl_to_standard_normal(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_divergences_and_likelihoods_are_those_of_torch() -> None:
    m, v, n, w = (randn(seed, 4, 3) for seed in range(4))
    expected = kl_divergence(normal(m, v), normal(n, w)).sum(1)
    torch.testing.assert_close(equations.kl_between_gaussians(m, v, n, w), expected)
    zero = torch.zeros_like(m)
    torch.testing.assert_close(equations.kl_between_gaussians(m, v, zero, zero), equations.kl_to_standard_normal(m, v))
    x = randn(5, 4, 2, 3)
    mean, log_variance = randn(6, 4, 2, 3), randn(7, 4, 2, 3)
    expected = normal(mean, log_variance).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(equations.gaussian_log_density(x, mean, log_variance), expected)
    logits, bits = 40 * randn(8, 4, 2, 3), (x > 0).double()
    expected = Bernoulli(logits=logits).log_prob(bits).flatten(1).sum(1)
    torch.testing.assert_close(equations.bernoulli_log_likelihood(bits, logits), expected)


def test_a_shared_variance_counts_for_every_value() -> None:
    x, mean = randn(0, 3, 5), randn(1, 3, 5)
    whole = equations.gaussian_log_density(x, mean, torch.full_like(x, 0.3))
    torch.testing.assert_close(equations.gaussian_log_density(x, mean, torch.tensor(0.3).double()), whole)


def linear_model(samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x, z), log q(z|x) of samples of z, and log p(x): p(z) = N(0, 1), p(x|z) = N(z, 1), q a bad posterior."""
    x = torch.tensor([[0.8], [-1.5]]).double()
    mean, log_variance = 0.3 * x, torch.full_like(x, -0.4)
    z = equations.reparameterise(mean, log_variance, randn(1, 2, samples))
    joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(x)
    return joint, normal(mean, log_variance).log_prob(z), Normal(0.0, math.sqrt(2)).log_prob(x)[:, 0]


def test_the_importance_weighted_bound_rises_from_the_elbo_to_the_likelihood() -> None:
    joint, q, log_p = linear_model(40_000)
    bounds = []
    for k in (1, 5, 50):
        parts = zip(joint.split(k, 1), q.split(k, 1), strict=True)
        bounds.append(torch.stack([equations.importance_weighted_bound(*part) for part in parts]).mean(0))
    elbo = (joint - q).mean(1)
    torch.testing.assert_close(bounds[0], elbo)
    assert bool((bounds[0] < bounds[1]).all() and (bounds[1] < bounds[2]).all() and (bounds[2] < log_p + 0.01).all())
    torch.testing.assert_close(equations.importance_weighted_bound(joint, q), log_p, atol=0.02, rtol=0)


def test_free_bits_only_spare_what_costs_less() -> None:
    kl_BL = torch.tensor([[0.0, 2.0], [0.4, 4.0]])
    assert equations.free_bits(kl_BL, 0.5).item() == pytest.approx(3.5)
    assert equations.free_bits(kl_BL, 0.0).item() == pytest.approx(kl_BL.sum(1).mean().item())
    assert equations.negative_elbo(torch.tensor([-1.0, -3.0]), torch.tensor([2.0, 4.0]), beta=2).item() == 8.0


def test_corruptions_change_the_share_that_is_asked_for() -> None:
    x, uniform = torch.full((200, 50), 0.5), torch.rand(200, 50, generator=torch.Generator().manual_seed(0))
    masked = equations.corrupt_masking(x, uniform, 0.25)
    assert (masked == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    noisy = equations.corrupt_salt_and_pepper(x, uniform, 0.2, -1.0, 1.0)
    for value, share in ((-1.0, 0.1), (1.0, 0.1), (0.5, 0.8)):
        assert (noisy == value).double().mean().item() == pytest.approx(share, abs=0.01)


def test_the_slope_of_the_optimal_denoiser() -> None:
    clean = 2 * randn(0, 400_000)
    noisy = clean + randn(1, 400_000)
    slope = (noisy * clean).mean() / (noisy * noisy).mean()
    assert slope.item() == pytest.approx(equations.optimal_denoiser_slope(4.0, 1.0), abs=0.01)
    assert equations.optimal_denoiser_slope(4.0, 1.0) == 0.8
