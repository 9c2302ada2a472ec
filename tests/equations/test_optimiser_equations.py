"""Update rules: torch.optim's iterates over 100 steps, and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from lamina.equations import optimisers as eq

STEPS = 100
Rule = Callable[[Tensor, Tensor, float], Tensor]
DOUBLE = torch.float64
CURVATURE = torch.tensor([3.0, 0.5, 1e-3, 20.0], dtype=DOUBLE)
START = torch.tensor([1.0, -2.0, 3.0, 0.1], dtype=DOUBLE)
NOISE = torch.randn(STEPS, 4, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)


def gradient(theta: Tensor, step: int) -> Tensor:
    """Of a quadratic, with noise."""
    return CURVATURE * theta + 0.5 * NOISE[step]


def rate(step: int) -> float:
    """A learning rate that changes: rules that keep it in or out of their state differ."""
    return 0.02 if step < 40 else 0.005


def torch_path(build: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Tensor:
    theta = START.clone().requires_grad_()
    optimiser = build([theta])
    path = []
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = rate(step)
        theta.grad = gradient(theta.detach(), step)
        optimiser.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


def our_path(rule: Rule) -> Tensor:
    theta, path = START, []
    for step in range(STEPS):
        theta = rule(theta, gradient(theta, step), rate(step))
        path.append(theta)
    return torch.stack(path)


def equal(rule: Rule, build: Callable[[list[Tensor]], torch.optim.Optimizer]) -> None:
    torch.testing.assert_close(our_path(rule), torch_path(build), rtol=1e-10, atol=1e-10)


def keep(rule: Callable[..., tuple[Tensor, object]], state: object, wd: float = 0.0, **options: object) -> Rule:
    """A rule that remembers its state, with L2 in the gradient."""
    remembered = [state]

    def step(theta: Tensor, g: Tensor, lr: float) -> Tensor:
        theta, remembered[0] = rule(theta, eq.l2_gradient(g, theta, wd), remembered[0], lr, **options)
        return theta

    return step


def zeros() -> Tensor:
    return torch.zeros_like(START)


@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_sgd(wd: float) -> None:
    equal(
        lambda theta, g, lr: eq.sgd(theta, eq.l2_gradient(g, theta, wd), lr),
        lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=wd),
    )


@pytest.mark.parametrize(("mu", "dampening", "wd"), [(0.9, 0.0, 0.0), (0.5, 0.3, 0.1)])
def test_momentum(mu: float, dampening: float, wd: float) -> None:
    equal(
        keep(eq.momentum, None, wd, mu=mu, dampening=dampening),
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=mu, dampening=dampening, weight_decay=wd),
    )


@pytest.mark.parametrize(("mu", "wd"), [(0.9, 0.0), (0.6, 0.1)])
def test_nesterov(mu: float, wd: float) -> None:
    equal(
        keep(eq.nesterov, None, wd, mu=mu),
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=mu, nesterov=True, weight_decay=wd),
    )


@pytest.mark.parametrize(("alpha", "eps", "mu", "wd"), [(0.99, 1e-8, 0.0, 0.0), (0.9, 1e-3, 0.5, 0.1)])
def test_rmsprop(alpha: float, eps: float, mu: float, wd: float) -> None:
    equal(
        keep(eq.rmsprop, eq.RMSPropState(zeros(), zeros()), wd, alpha=alpha, eps=eps, mu=mu),
        lambda p: torch.optim.RMSprop(p, lr=1.0, alpha=alpha, eps=eps, momentum=mu, weight_decay=wd),
    )


@pytest.mark.parametrize(("betas", "eps", "wd"), [((0.9, 0.999), 1e-8, 0.0), ((0.5, 0.9), 1e-2, 0.1)])
def test_adam(betas: tuple[float, float], eps: float, wd: float) -> None:
    equal(
        keep(eq.adam, eq.adam_start(START), wd, beta1=betas[0], beta2=betas[1], eps=eps),
        lambda p: torch.optim.Adam(p, lr=1.0, betas=betas, eps=eps, weight_decay=wd),
    )


@pytest.mark.parametrize(("betas", "eps", "wd"), [((0.9, 0.999), 1e-8, 0.01), ((0.5, 0.9), 1e-2, 0.3)])
def test_adamw(betas: tuple[float, float], eps: float, wd: float) -> None:
    remembered = [eq.adam_start(START)]

    def rule(theta: Tensor, g: Tensor, lr: float) -> Tensor:
        theta, remembered[0] = eq.adamw(theta, g, remembered[0], lr, *betas, eps, wd)
        return theta

    equal(rule, lambda p: torch.optim.AdamW(p, lr=1.0, betas=betas, eps=eps, weight_decay=wd))


@pytest.mark.parametrize(
    ("rule", "state", "peer"),
    [
        (eq.adam, eq.adam_start(START), partial(torch.optim.Adam, lr=1e-3)),
        (eq.adamw, eq.adam_start(START), partial(torch.optim.AdamW, lr=1e-3)),
        (partial(eq.rmsprop, lr=0.01), eq.RMSPropState(zeros(), zeros()), partial(torch.optim.RMSprop, lr=0.01)),
        (partial(eq.momentum, lr=0.01), None, partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
        (partial(eq.nesterov, lr=0.01), None, partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True)),
        (partial(eq.momentum_sutskever, lr=0.01), zeros(), partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    ],
)
def test_the_defaults_are_torchs(
    rule: Callable[..., tuple[Tensor, object]], state: object, peer: Callable[..., torch.optim.Optimizer]
) -> None:
    theta = START.clone().requires_grad_()
    ours, optimiser = START, peer([theta])
    for g in 1e-3 * NOISE[:3]:  # small enough for eps to count
        ours, state = rule(ours, g, state)
        theta.grad = g.clone()
        optimiser.step()
    torch.testing.assert_close(ours, theta.detach(), rtol=1e-14, atol=0)


def both_momenta(rates: Callable[[int], float]) -> tuple[Tensor, Tensor]:
    """The last iterates of torch's momentum and of Sutskever's."""
    ours = theirs = START
    v, w = None, zeros()
    for step in range(STEPS):
        ours, v = eq.momentum(ours, gradient(ours, step), v, rates(step))
        theirs, w = eq.momentum_sutskever(theirs, gradient(theirs, step), w, rates(step))
    return ours, theirs


def test_sutskevers_momentum_is_torchs_until_the_rate_changes() -> None:
    torch.testing.assert_close(*both_momenta(lambda step: 0.02), rtol=1e-12, atol=1e-12)
    ours, theirs = both_momenta(lambda step: 0.02 if step < STEPS - 1 else 0.002)
    assert (ours - theirs).abs().max() > 1e-3


def test_sutskevers_momentum_carries_the_rate_in_its_state() -> None:
    one = torch.ones(1, dtype=DOUBLE)
    theta, v = eq.momentum_sutskever(one, one, 0 * one, lr=0.1)
    assert (theta.item(), v.item()) == (0.9, -0.1)
    theta, v = eq.momentum_sutskever(theta, 0 * one, v, lr=0.0)  # a rate of 0 stops torch's step, not this one
    assert theta.item() == pytest.approx(0.81)
    assert eq.momentum(one, 0 * one, one, lr=0.0)[0].item() == 1


def test_sutskevers_nesterov_runs_through_torchs_iterates_when_it_looks_ahead() -> None:
    lr, mu = 0.02, 0.9
    ahead, v = START, None  # torch's parameter is the point theta + mu v
    theta, w = START, zeros()
    for step in range(STEPS):
        ahead, v = eq.nesterov(ahead, gradient(ahead, step), v, lr, mu)
        theta, w = eq.nesterov_sutskever(theta, partial(gradient, step=step), w, lr)  # at its default mu, 0.9
        torch.testing.assert_close(theta + mu * w, ahead, rtol=1e-11, atol=1e-11)


def test_on_a_quadratic_gradient_descent_and_heavy_ball_converge_at_the_known_rates() -> None:
    least, most = 1.0, 100.0
    curvature, kappa, steps = torch.tensor([least, most], dtype=DOUBLE), most / least, 200
    descent = ball = torch.ones(2, dtype=DOUBLE)
    v = None
    root = math.sqrt(kappa)
    for _ in range(steps):
        descent = eq.sgd(descent, curvature * descent, 2 / (least + most))
        ball, v = eq.momentum(
            ball,
            curvature * ball,
            v,
            lr=4 / (math.sqrt(least) + math.sqrt(most)) ** 2,
            mu=((root - 1) / (root + 1)) ** 2,
        )
    assert descent.abs().max().item() ** (1 / steps) == pytest.approx((kappa - 1) / (kappa + 1), rel=1e-9)
    # the double root of its characteristic equation adds a factor linear in the steps
    assert (ball.abs().max().item() / steps) ** (1 / steps) == pytest.approx((root - 1) / (root + 1), rel=0.01)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e6])
def test_the_first_step_of_adam_is_the_rate_whatever_the_scale(scale: float) -> None:
    g = scale * torch.tensor([2.0, -0.3, 5.0, -1.0], dtype=DOUBLE)
    theta, state = eq.adam(START, g, eq.adam_start(START), lr=0.01)
    torch.testing.assert_close(theta - START, -0.01 * g.sign(), rtol=1e-4, atol=0)
    assert state.t == 1
    raw, _ = eq.adam(START, g, eq.adam_start(START), lr=0.01, correct=False)
    torch.testing.assert_close(raw - START, -0.01 * 0.1 / math.sqrt(0.001) * g.sign(), rtol=1e-3, atol=0)


def l2_and_decoupled(decoupled: bool, rule: Callable[..., tuple[Tensor, object]], state: object, g: Tensor) -> Tensor:
    """200 steps from (1, 1) at rate 0.01 and decay 0.1, with gradients +g, -g, +g ..., of mean zero."""
    theta = torch.ones(2, dtype=DOUBLE)
    for step in range(200):
        now = g if step % 2 == 0 else -g
        if decoupled:
            theta = eq.decoupled_decay(theta, 0.01, 0.1)
        else:
            now = eq.l2_gradient(now, theta, 0.1)
        theta, state = rule(theta, now, state, 0.01)
    return theta


def test_for_plain_sgd_l2_and_decoupled_decay_are_the_same() -> None:
    curvature, lr, wd = torch.tensor([100.0, 1.0], dtype=DOUBLE), 1e-3, 0.1
    coupled = decoupled = torch.ones(2, dtype=DOUBLE)
    for _ in range(5):
        coupled = eq.sgd(coupled, eq.l2_gradient(curvature * coupled, coupled, wd), lr)
        decoupled = eq.sgd(eq.decoupled_decay(decoupled, lr, wd), curvature * decoupled, lr)
    torch.testing.assert_close(coupled, decoupled, rtol=1e-14, atol=0)
    assert coupled.tolist() == pytest.approx([0.5902, 0.9945], abs=5e-5)


def test_for_adam_l2_spares_the_large_gradient_and_overshrinks_the_small_one() -> None:
    g = torch.tensor([100.0, 0.1], dtype=DOUBLE)
    start = eq.adam_start(g)
    coupled, decoupled = l2_and_decoupled(False, eq.adam, start, g), l2_and_decoupled(True, eq.adam, start, g)
    shrunk = (1 - 0.01 * 0.1) ** 200
    torch.testing.assert_close(decoupled, torch.full_like(g, shrunk), rtol=0.02, atol=0)  # alike, whatever the scale
    assert coupled[0] > 0.95  # hardly decayed
    assert coupled[1] < 0.25  # decayed far more than asked for


def test_decoupled_decay_without_gradients_is_a_power() -> None:
    theta, state = torch.tensor([5.0, -0.01], dtype=DOUBLE), None
    start, state = theta, eq.adam_start(theta)
    for _ in range(50):
        theta, state = eq.adamw(theta, torch.zeros_like(theta), state, lr=0.1, wd=0.2)
    torch.testing.assert_close(theta, start * (1 - 0.1 * 0.2) ** 50, rtol=1e-12, atol=0)


def test_rules_change_nothing_in_place() -> None:
    theta, g, state = START.clone(), NOISE[0].clone(), eq.adam_start(START)
    eq.adamw(theta, g, state)
    eq.rmsprop(theta, g, eq.RMSPropState(state.m, state.v), 0.1)
    eq.momentum(theta, g, state.m, 0.1)
    assert torch.equal(theta, START)
    assert torch.equal(g, NOISE[0])
    assert not state.m.any()
    assert not state.v.any()
