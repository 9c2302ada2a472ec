"""The blocks that image classifiers and Transformers share, against what their papers say."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lamina.layers.attention import attention
from lamina.layers.convolution import conv_norm, make_divisible
from lamina.layers.squeeze_excitation import SqueezeExcitation
from lamina.layers.stochastic_depth import StochasticDepth, rising_rates


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Equation 1, one query at a time."""
    B, H, T, D = q.shape
    S = k.shape[2]
    out, maps = torch.zeros(B, H, T, v.shape[-1]).double(), torch.zeros(B, H, T, S).double()
    for b in range(B):
        for h in range(H):
            for t in range(T):
                keys = [s for s in range(S) if seen[b, h, t, s]]
                if not keys:
                    continue
                scores = [float(q[b, h, t] @ k[b, h, s]) / math.sqrt(D) for s in keys]
                if added is not None:
                    scores = [score + float(added[b, h, t, s]) for score, s in zip(scores, keys, strict=True)]
                total = sum(math.exp(score) for score in scores)
                for score, s in zip(scores, keys, strict=True):
                    maps[b, h, t, s] = math.exp(score) / total
                    out[b, h, t] += maps[b, h, t, s] * v[b, h, s]
    return out, maps


@pytest.mark.parametrize("need_map", [False, True])
@pytest.mark.parametrize("masking", ["none", "causal", "padding", "blind", "bias"])
@pytest.mark.parametrize("queries", [5, 3])
def test_attention_is_equation_1(masking: str, queries: int, need_map: bool) -> None:
    q, k, v = normal(2, 3, queries, 4), normal(2, 3, 5, 4, seed=1), normal(2, 3, 5, 6, seed=2)
    seen = torch.ones(2, 3, queries, 5, dtype=torch.bool)
    mask, added = None, None
    if masking == "causal":
        for t in range(queries):
            seen[:, :, t, t + 5 - queries + 1 :] = False
    elif masking in ("padding", "blind"):
        seen[1, :, :, 3:] = False
        if masking == "blind":
            seen[0, :, 1] = False
        mask = seen
    elif masking == "bias":
        mask = added = normal(2, 3, queries, 5, seed=3)
    got, got_map = attention(q, k, v, mask=mask, causal=masking == "causal", need_map=need_map)
    wanted, wanted_map = by_loops(q, k, v, seen, added)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    if need_map:
        assert got_map is not None
        torch.testing.assert_close(got_map, wanted_map, rtol=1e-10, atol=1e-12)
    else:
        assert got_map is None


def test_attention_gradients_are_finite_where_a_query_sees_nothing() -> None:
    q, k, v = (normal(1, 1, 3, 2, seed=seed).requires_grad_() for seed in range(3))
    seen = torch.ones(3, 3, dtype=torch.bool).tril(-1)  # the first query sees nothing
    for need_map in (False, True):
        out, _ = attention(q, k, v, mask=seen, need_map=need_map)
        for gradient in torch.autograd.grad(out.square().sum(), (q, k, v)):
            assert gradient.isfinite().all()


class Products(TorchDispatchMode):
    """The types of what is multiplied in batches."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bmm.default:
            self.types |= {arg.dtype for arg in args}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("autocast", [True, False])
def test_attention_with_a_learned_bias_multiplies_in_bfloat16(autocast: bool) -> None:
    """Also in the backward pass; output and gradients are those of float64, as near as its eight bits allow."""
    exact = [normal(2, 3, 5, 8, seed=seed) for seed in range(3)] + [normal(3, 5, 5, seed=3)]
    exact[3][1, 2] = -torch.inf  # a query of the second head sees nothing
    bias_type = torch.float32 if autocast else torch.bfloat16
    half = [value.to(torch.bfloat16) for value in exact[:3]] + [exact[3].to(bias_type)]
    found = []
    for tensors in (half, [value.double() for value in half]):
        q, k, v, bias = leaves = [value.detach().requires_grad_() for value in tensors]
        products = Products()
        with products, torch.autocast("cpu", torch.bfloat16, enabled=autocast and tensors is half):
            out, attn = attention(q, k, v, mask=bias[None])
            assert attn is None
            assert out.dtype == q.dtype
            out.square().sum().backward()
        if tensors is half:
            assert products.types == {torch.bfloat16}
        found.append([out, *(leaf.grad for leaf in leaves)])
    for got, true in zip(*found, strict=True):
        assert got is not None
        assert true is not None
        assert (got.double() - true).abs().max() <= 0.03 * true.abs().max()
    assert found[0][0][:, 1, 2].eq(0).all()


def test_attention_refuses_two_masks() -> None:
    q = normal(1, 1, 2, 2)
    with pytest.raises(ValueError, match="not both"):
        attention(q, q, q, mask=torch.ones(2, 2, dtype=torch.bool), causal=True)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = StochasticDepth(0.25)
    x = torch.ones(4000, 3, 2, 2)
    out = layer(x)
    per_sample = out.flatten(1)
    assert ((per_sample == 0).all(1) | (per_sample == 1 / 0.75).all(1)).all()
    assert out.mean() == pytest.approx(1.0, abs=0.04)
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="rate of stochastic depth"):
        StochasticDepth(1.0)


def test_rates_of_stochastic_depth_rise_linearly() -> None:
    assert rising_rates(0.2, 5, inclusive=True) == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])  # Swin, ConvNeXt
    assert rising_rates(0.2, 4, inclusive=False) == pytest.approx([0.0, 0.05, 0.1, 0.15])  # EfficientNet
    assert rising_rates(0.2, 1, inclusive=True) == [0.0]


def test_squeeze_and_excitation_weighs_channels() -> None:
    torch.manual_seed(0)
    block = SqueezeExcitation(4, 2, act="swish").double()
    x = normal(2, 4, 3, 5)
    squeezed = x.mean((2, 3))
    hidden = squeezed @ block.reduce.weight[:, :, 0, 0].T + block.reduce.bias
    hidden = hidden * torch.sigmoid(hidden)
    gate = torch.sigmoid(hidden @ block.expand.weight[:, :, 0, 0].T + block.expand.bias)
    torch.testing.assert_close(block(x), x * gate[:, :, None, None])


def test_conv_norm_keeps_the_size_and_names_its_parts() -> None:
    unit = conv_norm(4, 6, 5, stride=2, groups=2, eps=1e-3, momentum=0.01)
    assert unit(torch.zeros(2, 4, 9, 8)).shape == (2, 6, 5, 4)
    assert list(unit.state_dict()) == ["conv.weight", *(f"norm.{name}" for name in unit.norm.state_dict())]
    assert (unit.norm.eps, unit.norm.momentum) == (1e-3, 0.01)
    assert unit(-torch.ones(1, 4, 4, 4)).min() >= 0
    assert not hasattr(conv_norm(4, 6, 1, act=None), "act")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(32, 32), (12, 16), (11, 16), (10, 16), (1, 8), (35.2, 32), (24 * 0.75, 24), (16 * 1.4, 24), (88 * 0.25, 24)],
)
def test_channels_are_rounded_as_in_the_released_code(value: float, wanted: int) -> None:
    assert make_divisible(value) == wanted
