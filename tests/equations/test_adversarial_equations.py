"""Losses of adversarial networks: signs, fixed points, gradients; penalties against ones written per sample."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from lamina.equations import adversarial as equations

Loss = Callable[..., Tensor]
DISCRIMINATORS: dict[str, Loss] = {
    "minimax": equations.minimax_discriminator_loss,
    "least-squares": equations.least_squares_discriminator_loss,
    "hinge": equations.hinge_discriminator_loss,
    "wasserstein": equations.wasserstein_critic_loss,
}
GENERATORS: dict[str, Loss] = {
    "minimax": equations.minimax_generator_loss,
    "non-saturating": equations.non_saturating_generator_loss,
    "least-squares": equations.least_squares_generator_loss,
    "wasserstein": equations.wasserstein_generator_loss,
}


def slope(loss: Loss, *values: float) -> list[float]:
    scores = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in values]
    return [gradient.item() for gradient in torch.autograd.grad(loss(*scores), scores)]


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_raises_real_and_lowers_fake(name: str) -> None:
    real, fake = slope(DISCRIMINATORS[name], -0.3, 0.4)
    assert real < 0 < fake
    good, bad = (DISCRIMINATORS[name](torch.tensor([a]), torch.tensor([-a])) for a in (1.0, -1.0))
    assert good < bad


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_raises_fake(name: str) -> None:
    assert slope(GENERATORS[name], -0.3)[0] < 0


def test_the_gradients_where_the_discriminator_is_sure() -> None:
    """At logit -6, as in the fact sheet; both have the same sign everywhere, and are equal at 0."""
    assert slope(equations.minimax_generator_loss, -6.0)[0] == pytest.approx(-0.00247, abs=5e-6)
    assert slope(equations.non_saturating_generator_loss, -6.0)[0] == pytest.approx(-0.99753, abs=5e-6)
    assert slope(equations.minimax_generator_loss, 0.0) == slope(equations.non_saturating_generator_loss, 0.0) == [-0.5]


def test_logits_give_the_logarithms_of_the_paper_without_overflow() -> None:
    real, fake = 3 * randn(0, 20), 3 * randn(1, 20)
    value = torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(equations.minimax_discriminator_loss(real, fake), -value)
    torch.testing.assert_close(equations.non_saturating_generator_loss(fake), -logsigmoid(fake).mean())
    torch.testing.assert_close(equations.minimax_generator_loss(fake), logsigmoid(-fake).mean())
    far = torch.tensor([-2000.0, 2000.0])
    assert equations.minimax_discriminator_loss(far, far).item() == 2000


def test_the_optimal_discriminator_is_the_fixed_point() -> None:
    """Over two normal densities on a grid: the weighted loss has no slope at the logit log p - log q, and the value
    there is -log 4 + 2 JSD."""
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    step = (x[1] - x[0]).item()
    for shift in (0.0, 1.5):
        p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, shift))
        logit = (torch.log(p) - torch.log(q)).requires_grad_()
        torch.testing.assert_close(torch.sigmoid(logit), equations.optimal_discriminator(p, q))
        loss = ((equations.softplus(-logit) * p + equations.softplus(logit) * q) * step).sum()
        (gradient,) = torch.autograd.grad(loss, logit)
        assert gradient.abs().max().item() < 1e-12
        middle = (p + q) / 2
        divergence = (((p * (p / middle).log() + q * (q / middle).log()) / 2) * step).sum().item()
        assert -loss.item() == pytest.approx(equations.value_at_optimum(divergence), abs=1e-8)
    assert equations.value_at_optimum(0.0) == pytest.approx(-1.386294, abs=5e-7)
    assert equations.value_at_optimum(math.log(2)) == pytest.approx(0, abs=1e-15)


def test_least_squares_and_hinge_stop_where_they_should() -> None:
    assert slope(equations.least_squares_discriminator_loss, 1.0, 0.0) == [0, 0]
    assert slope(equations.least_squares_generator_loss, 1.0) == [0]
    assert slope(equations.hinge_discriminator_loss, 1.5, -1.5) == [0, 0]
    assert slope(equations.hinge_discriminator_loss, 0.5, -0.5) == [-1, 1]


def critic() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 1)).double()


def test_the_penalty_is_the_one_written_per_sample() -> None:
    net, real, fake = critic(), randn(0, 5, 2, 4, 4), randn(1, 5, 2, 4, 4)
    epsilon_B = torch.rand(5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    terms = []
    for sample in range(5):
        e = epsilon_B[sample].item()
        x = (e * real[sample : sample + 1] + (1 - e) * fake[sample : sample + 1]).requires_grad_()
        (g,) = torch.autograd.grad(net(x)[0, 0], x, create_graph=True)
        terms.append((math.sqrt(sum(v.item() ** 2 for v in g.flatten())), (g.norm() - 1) ** 2))
    penalty = equations.gradient_penalty(net, equations.interpolates(real, fake, epsilon_B))
    expected = torch.stack([term for _, term in terms]).mean()
    torch.testing.assert_close(penalty, expected, rtol=1e-10, atol=0)
    assert penalty.item() == pytest.approx(sum((norm - 1) ** 2 for norm, _ in terms) / 5, rel=1e-10)
    weights = [weight for name, weight in net.named_parameters() if name != "3.bias"]
    for ours, theirs in zip(torch.autograd.grad(penalty, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


def test_a_sample_has_one_epsilon() -> None:
    mixed = equations.interpolates(torch.ones(3, 2, 4), torch.zeros(3, 2, 4), torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(mixed.flatten(1), torch.tensor([[0.0], [0.25], [1.0]]).expand(3, 8))


def test_a_flat_critic_has_a_finite_gradient() -> None:
    net = nn.Linear(3, 1).double()
    nn.init.zeros_(net.weight)
    penalty = equations.gradient_penalty(net, randn(0, 4, 3))
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    penalty.backward()
    assert net.weight.grad is not None
    assert net.weight.grad.isfinite().all()


def test_r1_of_a_linear_map_is_half_its_squared_norm() -> None:
    net = nn.Linear(3, 1).double()
    expected = net.weight.detach().square().sum().item() / 2
    assert equations.r1_penalty(net, randn(0, 6, 3)).item() == pytest.approx(expected)


def test_clipped_weights_lie_within_the_bound() -> None:
    net = critic()
    inside = [weight.detach().clone() for weight in net.parameters()]
    equations.clip_weights(net.parameters(), 0.05)
    for weight, before in zip(net.parameters(), inside, strict=True):
        assert torch.equal(weight, before.clamp(-0.05, 0.05))
    assert max(weight.abs().max().item() for weight in net.parameters()) == pytest.approx(0.05)
