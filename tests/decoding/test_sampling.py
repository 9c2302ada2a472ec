"""Filters and draws against plain loops over one row at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lamina.decoding import Sampling, keep_top_k, keep_top_p, penalise_repetition
from lamina.decoding.sampling import draw, uniforms
from lamina.errors import UsageError


def logits(rows: int = 5, vocabulary: int = 11, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kept(row: Tensor) -> set[int]:
    return {token for token, value in enumerate(row.tolist()) if value > -math.inf}


@pytest.mark.parametrize("k", [1, 3, 10, 11, 50])
def test_top_k_keeps_the_k_largest(k: int) -> None:
    given = logits()
    for before, after in zip(given, keep_top_k(given, k), strict=True):
        wanted = set(sorted(range(11), key=lambda token: -before[token])[:k])
        assert kept(after) == wanted
        assert all(after[token] == before[token] for token in wanted)


def test_top_k_keeps_what_equals_the_kth() -> None:
    assert kept(keep_top_k(torch.tensor([[1.0, 3.0, 1.0, 0.0]]), 2)[0]) == {0, 1, 2}


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_top_p_keeps_the_smallest_nucleus(p: float) -> None:
    given = logits()
    for before, after in zip(given, keep_top_p(given, p), strict=True):
        share, total, wanted = before.softmax(0), 0.0, set()
        for token in sorted(range(11), key=lambda token: -before[token]):
            wanted.add(token)
            total += share[token].item()
            if total >= p:
                break
        assert kept(after) == wanted


def test_top_p_of_equal_logits_keeps_the_first() -> None:
    assert kept(keep_top_p(torch.zeros(1, 4), 0.5)[0]) == {0, 1}


def test_the_penalty_acts_on_seen_tokens_alone_and_makes_them_less_probable() -> None:
    given, seen = logits(), torch.rand(5, 11, generator=torch.Generator().manual_seed(1)) < 0.4
    got = penalise_repetition(given, seen, 1.7)
    for before, after, marks in zip(given.tolist(), got.tolist(), seen.tolist(), strict=True):
        for old, new, mark in zip(before, after, marks, strict=True):
            assert new == pytest.approx(old if not mark else old / 1.7 if old > 0 else old * 1.7, abs=0, rel=1e-15)
            assert new <= old


def test_the_order_is_penalty_temperature_top_k_top_p() -> None:
    """After a temperature of 0.5 the nucleus of 0.8 is smaller, and shares are taken among the top k alone."""
    given = torch.tensor([[2.0, 1.8, 1.6, 1.4, -9.0]], dtype=torch.float64)
    seen = torch.tensor([[True, False, False, False, False]])
    sampling = Sampling(temperature=0.5, top_k=3, top_p=0.6, repetition_penalty=1.2)
    by_hand = torch.tensor([2.0 / 1.2, 1.8, 1.6, 1.4, -9.0], dtype=torch.float64) / 0.5
    # the top three are 1, 0 and 2; of their probability 1 has less than 0.6, 1 and 0 more
    share = by_hand[:3].softmax(0)
    assert share[1] < 0.6 <= share[1] + share[0]
    chosen = {int(sampling.choose(given, torch.tensor([u]), seen)) for u in torch.arange(0, 1, 0.01).tolist()}
    assert chosen == {0, 1}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_probabilities_of_the_softmax(temperature: float) -> None:
    row = logits(1, 5)[0]
    many, sampling = 4000, Sampling(temperature=temperature)
    chosen = sampling.choose(row.expand(many, -1), (torch.arange(many) + 0.5) / many)
    share = torch.bincount(chosen, minlength=5) / many
    assert torch.allclose(share.double(), (row / temperature).softmax(0), atol=1 / many)


def test_no_token_of_probability_zero_is_ever_drawn() -> None:
    masked = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]], dtype=torch.float64)
    for uniform, wanted in ((0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-48, 3)):
        assert draw(masked, torch.tensor([uniform], dtype=torch.float64)).tolist() == [wanted]


def test_the_uniform_numbers_are_a_function_of_seed_row_and_step() -> None:
    numbers = uniforms(3, [4, 0, 7], 2)
    assert numbers.tolist() == [uniforms(3, [row], 2).item() for row in (4, 0, 7)]
    many = torch.stack([uniforms(seed, range(40), step) for seed in (0, 1) for step in range(25)]).flatten()
    assert len(many.unique()) == 2000
    assert many.min() >= 0
    assert many.max() < 1
    assert abs(many.mean() - 0.5) < 0.03
    assert torch.histc(many, 10, 0, 1).min() > 140


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0, got 0; greedy=True takes the most probable token"),
        ({"temperature": -1.0}, "temperature must be above 0, got -1.0"),
        ({"temperature": math.nan}, "temperature must be above 0, got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must lie in (0, 1], got 0.0"),
        ({"top_p": 1.5}, r"top_p must lie in (0, 1], got 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, got 0.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Sampling(**options)  # type: ignore[arg-type]
    assert str(error.value) == message
