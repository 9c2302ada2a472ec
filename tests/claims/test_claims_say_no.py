"""A claim whose equation is broken on purpose fails, under settings in which the right one holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from lamina.claims import (
    depthwise_separable_cost,
    fire_module,
    layer_scale_identity,
    residual_depth,
    stacked_3x3,
    swin_linear,
    swin_windows,
    translation_equivariance,
)
from lamina.claims.registry import get_claim
from lamina.claims.running import run_claim
from lamina.equations import activations, convolution, losses, optimisers, perceptron, regularisation
from lamina.models import densenet, resnet, squeezenet, swin
from lamina.registry import create_model


def adamw_with_l2(theta: Tensor, g: Tensor, state: Any, lr: float, wd: float) -> Any:
    return optimisers.adam(theta, optimisers.l2_gradient(g, theta, wd), state, lr)


def zero_padding(x: Tensor, p: int) -> Tensor:
    return torch.nn.functional.pad(x, (p, p, p, p))


def gelu_tanh_with_another_constant(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.0447 * x**3)))


def no_velocity(theta: Tensor, g: Tensor, v: Tensor | None, lr: float, mu: float) -> tuple[Tensor, Tensor]:
    return theta - lr * g, g


def nothing_normalised(x: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return gamma * x + beta


def new_maps_first(block: densenet.DenseBlock, x_BCHW: Tensor) -> Tensor:
    maps = [x_BCHW]
    for layer in block:
        maps.append(layer(maps))
    return torch.cat(maps[::-1], 1)


ONE_SEED = {"seeds": (0,)}
BROKEN: dict[str, tuple[str, object, str, Callable[..., Any], dict[str, Any]]] = {
    "a window in place of a threshold solves XOR": (
        "xor",
        perceptron,
        "step",
        lambda z: (z.abs() < 1).float(),
        {"units": 5000},
    ),
    "a rule that does not learn": (
        "mistake-bound",
        perceptron,
        "learn_one",
        lambda w, x, t, lr: w,
        {"seeds": (0,), "sets": 3, "least_gap": 0.1, "passes": 200},
    ),
    "leaky units do not interpolate": ("relu-interpolation", activations, "relu", activations.leaky_relu, ONE_SEED),
    "a sigmoid without saturation": ("vanishing-gradients", activations, "sigmoid", lambda x: 0.5 + 4 * x, ONE_SEED),
    "leaky units are never zero": ("relu-sparsity", activations, "relu", activations.leaky_relu, ONE_SEED),
    "another constant": ("gelu-approximation", activations, "gelu_tanh", gelu_tanh_with_another_constant, {}),
    "zeros in place of circular padding": (
        "translation-equivariance",
        translation_equivariance,
        "wrap",
        zero_padding,
        ONE_SEED,
    ),
    "a flipped kernel": (
        "cross-correlation",
        convolution,
        "cross_correlation",
        lambda x, w, **_: torch.nn.functional.conv2d(x, w.flip(2, 3)),
        {},
    ),
    "squared error under another name": (
        "outliers",
        losses,
        "mae_gradient",
        losses.mse_gradient,
        {"seeds": (0,), "steps": 1000},
    ),
    "momentum without velocity": ("momentum", optimisers, "momentum", no_velocity, {}),
    "Adam without bias correction": (
        "adam-first-step",
        optimisers,
        "adam",
        partial(optimisers.adam, correct=False),
        ONE_SEED,
    ),
    "L2 in place of decoupled decay": ("weight-decay", optimisers, "adamw", adamw_with_l2, ONE_SEED),
    "decay twice as strong": (
        "weight-decay",
        optimisers,
        "decoupled_decay",
        lambda theta, lr, wd: (1 - 2 * lr * wd) * theta,
        ONE_SEED,
    ),
    "nothing is normalised": (
        "batch-norm-rate",
        regularisation,
        "batch_norm",
        nothing_normalised,
        {"seeds": (0,), "steps": 30, "rates": (1.0,)},
    ),
    "nothing is dropped": (
        "dropout",
        regularisation,
        "inverted_dropout",
        lambda x, keep, p: x,
        {"seeds": (0,), "steps": 100, "test_samples": 2000, "width": 64, "lr": 4e-3},
    ),
    "all scales start at one": (
        "zero-gamma-identity",
        resnet,
        "initialise_residual",
        lambda model, zero_gamma: None,
        {"seeds": (0,), "side": 32},
    ),
    "a layer too few": (
        "stacked-3x3",
        stacked_3x3,
        "stack",
        lambda channels, kernels, right=stacked_3x3.stack: right(channels, kernels[1:] or kernels),
        ONE_SEED,
    ),
    "new maps before the old ones": ("densenet-growth", densenet.DenseBlock, "forward", new_maps_first, ONE_SEED),
    "nothing is squeezed": (
        "fire-module",
        fire_module,
        "fires",
        lambda: [squeezenet.Fire(128, 128, 64, 64)],
        {},
    ),
    "all channels in the depthwise layer": (
        "depthwise-separable-cost",
        depthwise_separable_cost,
        "separable",
        lambda i, o, k: torch.nn.Sequential(
            torch.nn.Conv2d(i, i, k, padding=k // 2), torch.nn.Conv2d(i, o, 1, bias=False)
        ),
        {},
    ),
    "a branch at full scale": (
        "layer-scale-identity",
        layer_scale_identity,
        "create_model",
        partial(create_model, layer_scale=1.0),
        ONE_SEED,
    ),
    "windows that stay": (
        "swin-windows",
        swin_windows,
        "Block",
        lambda width, heads, window, shifted, rate: swin.Block(width, heads, window, False, rate),
        ONE_SEED,
    ),
    "a roll without its mask": ("swin-windows", swin, "MASKED", 0.0, ONE_SEED),  # type: ignore[dict-item]
    "windows of another size": (
        "swin-linear",
        swin_linear,
        "WindowAttention",
        lambda width, heads, window, shifted: swin.WindowAttention(width, heads, 28, shifted),
        {},
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_equation_fails(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, home, attribute, wrong, changes = BROKEN[fault]
    settings = replace(get_claim(name).settings, **changes)
    assert run_claim(name, settings).verdict == "holds"
    monkeypatch.setattr(home, attribute, wrong)
    assert run_claim(name, settings).verdict == "fails"


def test_nets_that_are_not_trained_approximate_nothing() -> None:
    claim = get_claim("universal-approximation")
    assert run_claim(claim.name, replace(claim.settings, seeds=(0,), steps=3)).verdict == "fails"


def test_without_shortcuts_a_residual_net_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = get_claim("residual-depth")
    settings = replace(claim.settings, seeds=(0,), steps=60)
    assert run_claim(claim.name, settings).numbers["ratio"][0] > 1.5
    monkeypatch.setattr(residual_depth, "joined", lambda branch, h, shortcuts: torch.relu(branch))
    broken = run_claim(claim.name, settings)
    assert (broken.numbers["ratio"], broken.verdict) == ((1.0,), "fails")
