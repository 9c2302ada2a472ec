"""Dropout, normalisation, decay and ridge: torch's values, autograd's gradients, and the invariances they promise."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from lamina.equations import optimisers
from lamina.equations import regularisation as eq


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.8])
def test_dropout_equals_torch_under_its_own_mask(p: float) -> None:
    x = randn(0, 1000)
    torch.manual_seed(0)
    y = functional.dropout(x, p)
    close(eq.inverted_dropout(x, (y != 0).double(), p), y)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_the_mean_over_all_masks_is_the_identity(p: float) -> None:
    # exact: every mask of 6 units with its probability; so a linear layer on top keeps its mean output too
    x, mean = randn(0, 6), torch.zeros(6, dtype=torch.float64)
    for mask in itertools.product([0.0, 1.0], repeat=6):
        keep = torch.tensor(mask, dtype=torch.float64)
        kept = int(keep.sum())
        mean += (1 - p) ** kept * p ** (6 - kept) * eq.inverted_dropout(x, keep, p)
    close(mean, x)


shapes = st.one_of(
    st.tuples(st.integers(2, 6), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 4), st.integers(1, 4)),
)


@settings(max_examples=40)
@given(st.integers(0, 2**31), shapes, st.sampled_from([1e-5, 1e-2]), st.sampled_from([0.1, 0.7]))
def test_batch_norm_equals_torch(seed: int, shape: tuple[int, ...], eps: float, m: float) -> None:
    C = shape[1]
    x, g = 2 * randn(seed, *shape) + 1, randn(seed + 1, *shape)
    gamma, beta = randn(seed + 2, C), randn(seed + 3, C)
    running_mean, running_var = randn(seed + 4, C), randn(seed + 5, C) ** 2 + 0.1
    for leaf in (x, gamma, beta):
        leaf.requires_grad_()
    mean, var = running_mean.clone(), running_var.clone()
    y = functional.batch_norm(x, mean, var, gamma, beta, training=True, momentum=m, eps=eps)
    wanted = torch.autograd.grad((g * y).sum(), [x, gamma, beta])
    with torch.no_grad():
        batch_mean, batch_var, _ = eq.batch_statistics(x)
        close(eq.batch_norm(x, batch_mean, batch_var, gamma, beta, eps), y)
        ours = eq.running_statistics(x, running_mean, running_var, m)
        close(ours[0], mean)
        close(ours[1], var)
        close(eq.batch_norm(x, mean, var, gamma, beta, eps), functional.batch_norm(x, mean, var, gamma, beta, eps=eps))
        for gradient, theirs in zip(eq.batch_norm_gradients(g, x, gamma, eps), wanted, strict=True):
            torch.testing.assert_close(gradient, theirs, rtol=1e-9, atol=1e-10)


def test_the_defaults_of_batch_norm_are_torchs() -> None:
    layer = torch.nn.BatchNorm1d(3).double()
    x, one, zero = 0.01 * randn(0, 5, 3), torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    leaf, g = x.clone().requires_grad_(), randn(1, 5, 3)
    (dx,) = torch.autograd.grad((layer(leaf) * g).sum(), leaf)
    close(eq.batch_norm_gradients(g, x, one)[0], dx)
    layer.reset_running_stats()
    close(eq.batch_norm(x, *eq.batch_statistics(x)[:2], one, zero), layer(x).detach())
    mean, var = eq.running_statistics(x, zero, one)
    state = layer.state_dict()
    close(mean, state["running_mean"])
    close(var, state["running_var"])


def test_batch_norm_forgets_the_scale_of_the_weights_and_their_gradient_shrinks_with_it() -> None:
    # BN(aWx) = BN(Wx), and dL/d(aW) = (1/a) dL/dW (Ioffe & Szegedy, section 3.3); exact at eps = 0
    x, W, g, a = randn(0, 8, 3), randn(1, 4, 3), randn(2, 8, 4), 7.0
    gamma, beta = randn(3, 4), randn(4, 4)

    def output_and_gradient(W: Tensor) -> tuple[Tensor, Tensor]:
        z = x @ W.T
        mean, var, _ = eq.batch_statistics(z)
        return eq.batch_norm(z, mean, var, gamma, beta, 0.0), eq.batch_norm_gradients(g, z, gamma, 0.0)[0].T @ x

    (y, dW), (y_scaled, dW_scaled) = output_and_gradient(W), output_and_gradient(a * W)
    close(y_scaled, y)
    close(dW_scaled, dW / a)


@settings(max_examples=40)
@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(2, 6),
    st.sampled_from([1e-5, 1e-2]),
)
def test_layer_norm_equals_torch(seed: int, batch: list[int], D: int, eps: float) -> None:
    x, g = 3 * randn(seed, *batch, D) - 1, randn(seed + 1, *batch, D)
    gamma, beta = randn(seed + 2, D), randn(seed + 3, D)
    for leaf in (x, gamma, beta):
        leaf.requires_grad_()
    y = functional.layer_norm(x, (D,), gamma, beta, eps)
    wanted = torch.autograd.grad((g * y).sum(), [x, gamma, beta])
    with torch.no_grad():
        close(eq.layer_norm(x, gamma, beta, eps), y)
        for gradient, theirs in zip(eq.layer_norm_gradients(g, x, gamma, eps), wanted, strict=True):
            torch.testing.assert_close(gradient, theirs, rtol=1e-9, atol=1e-10)


def test_the_default_eps_of_layer_norm_is_torchs() -> None:
    x, one, zero = 0.01 * randn(0, 5, 3), torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    close(eq.layer_norm(x, one, zero), functional.layer_norm(x, (3,)))
    leaf = x.clone().requires_grad_()
    (dx,) = torch.autograd.grad((functional.layer_norm(leaf, (3,)) * randn(1, 5, 3)).sum(), leaf)
    close(eq.layer_norm_gradients(randn(1, 5, 3), x, one)[0], dx)


def test_torchs_weight_decay_is_twice_lambda() -> None:
    theta, lam, lr = randn(0, 5).requires_grad_(), 0.3, 0.1
    (gradient,) = torch.autograd.grad(eq.weight_decay(theta, lam), theta)
    close(eq.weight_decay_gradient(theta.detach(), lam), gradient)
    assert eq.weight_decay(torch.tensor([1.0, 2.0]), 0.5).item() == 2.5
    stepped = optimisers.sgd(theta.detach(), eq.weight_decay_gradient(theta.detach(), lam), lr)
    theta.grad = torch.zeros(5, dtype=torch.float64)
    torch.optim.SGD([theta], lr=lr, weight_decay=2 * lam).step()
    close(stepped, theta.detach())


@pytest.mark.parametrize("wd", [0.0, 0.05, 2.0])
def test_sgd_with_weight_decay_ends_at_the_ridge_solution(wd: float) -> None:
    x, y = randn(0, 30, 4), randn(1, 30)
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=0.3, weight_decay=wd)
    for _ in range(400):
        w.grad = x.T @ (x @ w.detach() - y) / 30  # of (1/2N) ||Xw - y||^2
        optimiser.step()
    close(eq.ridge(x, y, wd), w.detach())
