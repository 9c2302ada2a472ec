"""Losses and gradients: torch's for every reduction, and finite where the naive form is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from lamina.equations import losses
from lamina.equations.losses import Reduction

REDUCTIONS: tuple[Reduction, ...] = ("none", "sum", "mean")
ELEMENTWISE: list[tuple[Callable[..., Tensor], Callable[..., Tensor], Callable[..., Tensor]]] = [
    (losses.mse, losses.mse_gradient, functional.mse_loss),
    (losses.mae, losses.mae_gradient, functional.l1_loss),
    (losses.huber, losses.huber_gradient, functional.huber_loss),
    (losses.binary_cross_entropy, losses.binary_cross_entropy_gradient, functional.binary_cross_entropy_with_logits),
]


def randn(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def agree(loss: Tensor, gradient: Tensor, theirs: Tensor, z: Tensor) -> None:
    """Value and gradient equal torch's; "none" stands for the gradient of the sum."""
    (wanted,) = torch.autograd.grad(theirs.sum(), z)
    close(loss.detach(), theirs.detach())
    close(gradient.detach(), wanted)


@settings(max_examples=40)
@given(
    st.integers(0, 2**31),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from(REDUCTIONS),
    st.sampled_from([0.0, 0.1, 0.5]),
)
def test_cross_entropy_equals_torch(seed: int, batch: int, classes: int, reduction: Reduction, epsilon: float) -> None:
    z = randn(seed, batch, classes).requires_grad_()
    t = torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(seed))
    y = losses.smooth(losses.one_hot(t, z), epsilon)
    theirs = functional.cross_entropy(z, t, reduction=reduction, label_smoothing=epsilon)
    agree(losses.cross_entropy(z, y, reduction), losses.cross_entropy_gradient(z, y, reduction), theirs, z)
    soft = randn(seed + 1, batch, classes).softmax(1)
    theirs = functional.cross_entropy(z, soft, reduction=reduction)
    agree(losses.cross_entropy(z, soft, reduction), losses.cross_entropy_gradient(z, soft, reduction), theirs, z)


@settings(max_examples=60)
@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from(REDUCTIONS),
    st.sampled_from(ELEMENTWISE),
)
def test_elementwise_losses_equal_torch(seed, shape, reduction, functions) -> None:  # type: ignore[no-untyped-def]
    ours, gradient, theirs = functions
    z = randn(seed, *shape).requires_grad_()
    t = randn(seed + 1, *shape).sigmoid()
    agree(ours(z, t, reduction=reduction), gradient(z, t, reduction=reduction), theirs(z, t, reduction=reduction), z)


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_huber_with_another_delta_equals_torch(delta: float) -> None:
    z, t = randn(0, 50).requires_grad_(), randn(1, 50)
    agree(losses.huber(z, t, delta), losses.huber_gradient(z, t, delta), functional.huber_loss(z, t, delta=delta), z)


def test_the_default_is_the_mean() -> None:
    z, t = randn(0, 5, 3), randn(1, 5, 3).softmax(1)
    close(losses.mse(z, t), ((z - t) ** 2).sum() / 15)
    close(losses.cross_entropy(z, t), losses.cross_entropy(z, t, "sum") / 5)
    close(losses.mse_gradient(z, t), 2 * (z - t) / 15)
    close(losses.mae_gradient(z, t), (z - t).sign() / 15)


def test_softmax_and_log_sum_exp_equal_torch() -> None:
    z = randn(0, 6, 4)
    close(losses.softmax(z), z.softmax(1))
    close(losses.log_sum_exp(z), z.logsumexp(1))


def test_huge_logits_give_finite_losses() -> None:
    z = torch.tensor([[1e4, 0.0], [-1e4, 1e4]])
    y = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert losses.cross_entropy(z, y, "none").tolist() == [1e4, 2e4]
    assert losses.cross_entropy_gradient(z, y, "sum").tolist() == [[1.0, -1.0], [-1.0, 1.0]]
    single, t = torch.tensor([1e4, -1e4, 1e4]), torch.tensor([0.0, 1.0, 1.0])
    assert losses.binary_cross_entropy(single, t, "none").tolist() == [1e4, 1e4, 0.0]
    assert losses.binary_cross_entropy_gradient(single, t, "sum").tolist() == [1.0, -1.0, 0.0]


def test_a_saturated_wrong_sigmoid_learns_by_cross_entropy_and_not_by_mse() -> None:
    z, t = torch.tensor([-12.0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    s = torch.sigmoid(z)
    assert losses.binary_cross_entropy_gradient(z, t).item() == pytest.approx(-1, abs=1e-5)
    assert (losses.mse_gradient(s, t) * s * (1 - s)).abs() < 2e-5


def test_the_best_constant_is_the_mean_for_mse_and_the_median_for_mae() -> None:
    t = torch.tensor([0.0, 1.0, 2.0, 3.0, 50.0], dtype=torch.float64)
    at = torch.linspace(0, 50, 5001, dtype=torch.float64)
    for loss, best in ((losses.mse, t.mean()), (losses.mae, t.median())):
        values = torch.stack([loss(c.expand(5), t) for c in at])
        assert at[values.argmin()].item() == pytest.approx(best.item(), abs=1e-9)


def test_smoothing_moves_epsilon_of_the_probability() -> None:
    y = losses.smooth(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64), 0.1)
    assert y.flatten().tolist() == pytest.approx([0.925, 0.025, 0.025, 0.025])
