"""Attention against torch's function and module, sinusoids against complex numbers, all in double."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.equations import attention as eq
from lamina.layers.positions import SinusoidalPositions

B, H, T, S, D, E = 2, 3, 5, 7, 4, 6


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def test_softmax_is_torchs_and_survives_large_scores() -> None:
    (z,) = tensors((B, H, T, S))
    torch.testing.assert_close(eq.softmax(900 * z), (900 * z).softmax(-1), rtol=1e-12, atol=0)


def test_entropy_is_that_of_torchs_distribution() -> None:
    (z,) = tensors((B, S))
    p = z.softmax(-1)
    torch.testing.assert_close(eq.entropy(p), torch.distributions.Categorical(p).entropy(), rtol=1e-12, atol=0)
    sure = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    assert eq.entropy(sure).item() == 0.0
    assert eq.entropy(torch.full((64,), 1 / 64, dtype=torch.float64)).item() == pytest.approx(math.log(64), abs=1e-12)


@pytest.mark.parametrize("masked", ["no", "causal", "some"])
def test_attention_is_torchs(masked: str) -> None:
    keys = T if masked == "causal" else S
    q, k, v = tensors((B, H, T, D), (B, H, keys, D), (B, H, keys, E))
    mask = None
    if masked == "causal":
        mask = eq.causal_mask(T)
    elif masked == "some":
        mask = torch.rand(B, 1, T, S) > 0.5
        mask[..., 3] = True  # no query is blind
    out, attn = eq.scaled_dot_product(q, k, v, mask)
    causal = masked == "causal"
    wanted = functional.scaled_dot_product_attention(q, k, v, attn_mask=None if causal else mask, is_causal=causal)
    torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(attn.sum(-1), torch.ones(B, H, T, dtype=torch.float64))
    torch.testing.assert_close(attn @ v, out)
    if mask is not None:
        assert (attn[~mask.expand_as(attn)] == 0).all()


def test_without_the_scale_it_is_torchs_with_a_scale_of_one() -> None:
    q, k, v = tensors((T, D), (S, D), (S, E))
    wanted = functional.scaled_dot_product_attention(q[None], k[None], v[None], scale=1.0)[0]
    torch.testing.assert_close(eq.scaled_dot_product(q, k, v, scaled=False)[0], wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("heads", [1, 2])
def test_multi_head_attention_is_torchs_module(heads: int) -> None:
    width = 8
    x, memory = tensors((B, T, width), (B, S, width))
    module = nn.MultiheadAttention(width, heads, bias=False, batch_first=True).double()
    parts = [weight.chunk(heads) for weight in module.in_proj_weight.chunk(3)]
    mine = eq.multi_head(x, memory, list(zip(*parts, strict=True)), module.out_proj.weight)
    torch.testing.assert_close(mine, module(x, memory, memory, need_weights=False)[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("width", [2, 6, 64])
def test_sinusoids_are_the_parts_of_a_complex_exponential(width: int) -> None:
    positions = torch.tensor([0, 1, 17, 511])
    angles = positions[:, None] / 10000 ** (2 * torch.arange(width // 2, dtype=torch.float64) / width)
    turns = torch.polar(torch.ones_like(angles), angles)
    pe = eq.sinusoid(positions, width)
    torch.testing.assert_close(pe[:, 0::2], turns.imag, rtol=0, atol=1e-12)
    torch.testing.assert_close(pe[:, 1::2], turns.real, rtol=0, atol=1e-12)
    torch.testing.assert_close(SinusoidalPositions(width)(positions, torch.float64), pe, rtol=0, atol=1e-11)


@pytest.mark.parametrize("k", [0, 1, -3, 40, 0.5])
def test_a_shift_is_a_rotation_that_does_not_know_the_position(k: float) -> None:
    width = 16
    R = eq.shift(k, width)
    positions = torch.arange(60, dtype=torch.float64)
    torch.testing.assert_close(
        eq.sinusoid(positions, width) @ R.T, eq.sinusoid(positions + k, width), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(R @ R.T, torch.eye(width, dtype=torch.float64))
    assert torch.linalg.det(R).item() == pytest.approx(1)
    torch.testing.assert_close(R @ eq.shift(2.0, width), eq.shift(k + 2.0, width), rtol=0, atol=1e-12)
