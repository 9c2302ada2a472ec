"""A claim whose equation is broken on purpose fails, under settings in which the right one holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from lamina.claims.experiments.foundations import translation_equivariance
from lamina.claims.experiments.generative import optimal_denoiser, reductions_change_beta
from lamina.claims.experiments.sequences import (
    attention_scale,
    gradient_by_lag,
    gru_candidate,
    permutation_equivariance,
    sequential_operations,
)
from lamina.claims.experiments.vision import (
    depthwise_separable_cost,
    fire_module,
    layer_scale_identity,
    residual_depth,
    stacked_3x3,
    swin_linear,
    swin_windows,
)
from lamina.claims.registry import get_claim
from lamina.claims.running import run_claim
from lamina.equations import (
    activations,
    convolution,
    losses,
    optimisers,
    perceptron,
    recurrent,
    regularisation,
    variational,
)
from lamina.layers import additive_attention, multi_head
from lamina.layers.attention import attention
from lamina.layers.positions import SinusoidalPositions
from lamina.layers.recurrent import Recurrent
from lamina.models import adain, densenet, resnet, squeezenet, swin
from lamina.registry import create_model
from lamina.stylisation import losses as style_losses
from lamina.tasks import likelihoods


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


def half_shut(kind: Any, inputs: int, hidden: int, *, forget_bias: float) -> Recurrent:
    return Recurrent(kind, inputs, hidden)


def never_divided(q_BHTD: Tensor, *rest: Tensor, **options: Any) -> Any:
    return attention(q_BHTD * q_BHTD.shape[-1] ** 0.5, *rest, **options)


def nearer_is_louder(q_BHTD: Tensor, *rest: Tensor, **options: Any) -> Any:
    t = torch.arange(q_BHTD.shape[-2], dtype=q_BHTD.dtype)
    return attention(q_BHTD, *rest, **{**options, "mask": -(t[:, None] - t).abs(), "causal": False})


def looking_ahead(q_BHTD: Tensor, *rest: Tensor, **options: Any) -> Any:
    return attention(q_BHTD, *rest, **{**options, "causal": False})


def short_sighted(q_BHTD: Tensor, *rest: Tensor, causal: bool, **options: Any) -> Any:
    t = torch.arange(q_BHTD.shape[-2])
    seen = (t[None] <= t[:, None]) & (t[:, None] - t[None] < 8)
    return attention(q_BHTD, *rest, **{**options, "mask": seen})


def sines_first(layer: SinusoidalPositions, positions: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    angles = positions[..., None] / 10000 ** (torch.arange(0, layer.width, 2, dtype=dtype) / layer.width)
    return torch.cat([angles.sin(), angles.cos()], -1)


def looking_everywhere(scores_BS: Tensor, values_BSD: Tensor, real_BS: Tensor) -> tuple[Tensor, Tensor]:
    attn_BS = torch.zeros_like(scores_BS).softmax(1)
    return torch.bmm(attn_BS.unsqueeze(1), values_BSD).squeeze(1), attn_BS


class InWindows(multi_head.MultiHeadAttention):
    """Of 4 tokens each."""

    def forward(self, x_BTC: Tensor, *rest: Any, **options: Any) -> Tensor:
        return super().forward(x_BTC.unflatten(1, (-1, 4)).flatten(0, 1)).view_as(x_BTC)  # type: ignore[no-untyped-call]


def deviation_read_as_variance(mean_BL: Tensor, log_variance_BL: Tensor) -> Tensor:
    return -0.5 * (1 + log_variance_BL - mean_BL**2 - torch.exp(0.5 * log_variance_BL)).sum(1)


def maps_in_their_order(maps_BCHW: Tensor) -> Tensor:
    maps_BCM = maps_BCHW.flatten(2)
    weight_M = torch.linspace(0, 2, maps_BCM.shape[2], dtype=maps_BCM.dtype)
    return (maps_BCM * weight_M) @ maps_BCM.transpose(1, 2) / maps_BCM.shape[2]


def style_with_its_variance(model: adain.AdaIN, content: Tensor, style: Tensor, alpha: float = 1.0) -> Tensor:
    mean, deviation = model.statistics.measure(content)
    style_mean, style_deviation = model.statistics.measure(style)
    return alpha * ((content - mean) / deviation * style_deviation**2 + style_mean) + (1 - alpha) * content


ONE_SEED = {"seeds": (0,)}
SHORT = {"lengths": (8, 16, 32)}
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
    "forget gates that start half shut": ("gradient-by-lag", gradient_by_lag, "Recurrent", half_shut, ONE_SEED),
    "attention that looks everywhere": (
        "copy-and-reverse",
        additive_attention,
        "_attend",
        looking_everywhere,
        {
            "seeds": (0,),
            "longest": 4,
            "lengths": (4,),
            "symbols": 6,
            "hidden": 24,
            "fixed_hidden": 4,
            "steps": 200,
            "lr": 1e-2,
            "sequences": 50,
        },
    ),
    "scores that are never divided": ("attention-scale", attention_scale, "attention", never_divided, ONE_SEED),
    "attention that knows distances": (
        "permutation-equivariance",
        multi_head,
        "attention",
        nearer_is_louder,
        ONE_SEED,
    ),
    "positions that are all alike": (
        "permutation-equivariance",
        permutation_equivariance,
        "SinusoidalPositions",
        lambda width: lambda place_T, dtype: torch.ones(len(place_T), width, dtype=dtype),
        ONE_SEED,
    ),
    "a mask that is forgotten": ("causal-mask", multi_head, "attention", looking_ahead, ONE_SEED),
    "attention over the last 8 tokens": (
        "first-token-recall",
        multi_head,
        "attention",
        short_sighted,
        {"seeds": (0,), "near": 15, "far": 20, "steps": 80, "sequences": 200},
    ),
    "attention in windows": (
        "sequential-operations",
        sequential_operations,
        "MultiHeadAttention",
        InWindows,
        {"lengths": (8, 16, 32)},
    ),
    "a right candidate under the wrong one's name": (
        "gru-candidate",
        gru_candidate,
        "misquoted",
        recurrent.gru_step,
        ONE_SEED,
    ),
    "the wrong candidate under a right one's name": (
        "gru-candidate",
        recurrent,
        "gru_step",
        lambda *tensors, reset_after=True: gru_candidate.misquoted(*tensors),
        ONE_SEED,
    ),
    "the absolute error in place of the squared": (
        "linear-autoencoder-pca",
        likelihoods.SquaredError,
        "negative_log_likelihood",
        lambda error, decoded, x: (decoded - x).abs().sum(1),
        ONE_SEED,
    ),
    "half the noise": (
        "optimal-denoiser",
        optimal_denoiser,
        "corrupt",
        lambda x, noise, draw: x + noise / 2 * torch.randn(x.shape, generator=draw),
        {"seeds": (0,), "noises": (0.5,), "steps": 400},
    ),
    "the deviation read as the variance": (
        "kl-closed-form",
        variational,
        "kl_to_standard_normal",
        deviation_read_as_variance,
        {"seeds": (0,), "samples": 10_000},
    ),
    "a divergence with its Gaussians exchanged": (
        "kl-closed-form",
        variational,
        "kl_between_gaussians",
        lambda a, b, c, d, right=variational.kl_between_gaussians: right(c, d, a, b),
        {"seeds": (0,), "samples": 10_000},
    ),
    "noise scaled by the variance": (
        "reparameterisation-variance",
        variational,
        "reparameterise",
        lambda mean, log_variance, noise: mean + torch.exp(log_variance) * noise,
        ONE_SEED,
    ),
    "a beta that is ignored": (
        "beta-trade-off",
        variational,
        "negative_elbo",
        lambda log_likelihood, kl, beta=1.0: (kl - log_likelihood).mean(),
        {"seeds": (0,), "betas": (0.25, 1.0), "steps": 150, "draws": 2},
    ),
    "a sum under the name of a mean": (
        "reductions-change-beta",
        reductions_change_beta,
        "factors",
        lambda settings, inputs: dict.fromkeys(reductions_change_beta.REDUCTIONS, 1.0),
        {"seeds": (0,), "steps": 100, "draws": 1},
    ),
    "a mean of the logarithms": (
        "importance-weighted-bound",
        variational,
        "importance_weighted_bound",
        lambda log_joint, log_q: (log_joint - log_q).mean(1),
        {"seeds": (0,), "steps": 50},
    ),
    "a bound without log k": (
        "importance-weighted-bound",
        variational,
        "importance_weighted_bound",
        lambda log_joint, log_q: (log_joint - log_q).logsumexp(1),
        {"seeds": (0,), "steps": 50},
    ),
    "positions weighed": ("gram-forgets-position", style_losses, "gram", maps_in_their_order, ONE_SEED),
    "the variance as a scale": ("adain-statistics", adain.AdaIN, "blend", style_with_its_variance, ONE_SEED),
    "all sines before all cosines": ("sinusoid-shift", SinusoidalPositions, "forward", sines_first, ONE_SEED),
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


def test_nets_that_are_not_trained_add_nothing_and_short_sequences_are_no_problem() -> None:
    claim = get_claim("adding-problem")
    untrained = run_claim(claim.name, replace(claim.settings, seeds=(0,), steps=50, sequences=100))
    assert untrained.verdict == "fails"
    assert min(untrained.numbers["lstm"][0], untrained.numbers["gru"][0]) > 0.1
    short = run_claim(claim.name, replace(claim.settings, seeds=(0,), length=5, steps=400, batch=32, sequences=200))
    assert short.verdict == "fails"
    assert short.numbers["rnn_learned"][0] > 0.6
    assert max(short.numbers["lstm"][0], short.numbers["gru"][0]) < 0.05


def test_codes_that_are_not_wide_enough_are_no_identity() -> None:
    claim = get_claim("overcomplete-autoencoder")
    result = run_claim(claim.name, replace(claim.settings, seeds=(0,), code=4, steps=300))
    assert result.verdict == "fails"
    assert result.numbers["overcomplete"][0] > 0.95
    assert result.numbers["overcomplete_error"][0] > 0.01
