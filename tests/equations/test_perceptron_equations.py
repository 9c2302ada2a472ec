"""Rosenblatt's rule on what it can learn and what it cannot, and Novikoff's bound on its mistakes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.equations import perceptron

CORNERS = perceptron.fold_bias(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64))
AND, OR, XOR = (torch.tensor(t, dtype=torch.float64) for t in ([0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]))


def test_one_pass_over_and_is_the_one_worked_out_by_hand() -> None:
    # H(0) = 1 is wrong at (0, 0): w = (0, 0, -1); then (1, 1) scores -1 and is wrong: w = (1, 1, 0)
    w, mistakes = perceptron.learn_pass(torch.zeros(3, dtype=torch.float64), CORNERS, AND)
    assert w.tolist() == [1.0, 1.0, 0.0]
    assert mistakes == 2
    # the same by single corrections, at the default rate
    w = perceptron.learn_one(torch.zeros(3, dtype=torch.float64), CORNERS[0], AND[0])
    assert perceptron.learn_one(w, CORNERS[3], AND[3]).tolist() == [1.0, 1.0, 0.0]


def test_a_right_answer_moves_nothing() -> None:
    w = torch.tensor([1.0, 1.0, -1.5], dtype=torch.float64)
    for x, t in zip(CORNERS, AND, strict=True):
        assert torch.equal(perceptron.learn_one(w, x, t), w)


@pytest.mark.parametrize("t", [AND, OR])
def test_and_and_or_are_learned_exactly(t: torch.Tensor) -> None:
    w, mistakes, done = perceptron.learn(CORNERS, t)
    assert done
    again, counted, clean = torch.zeros(3, dtype=torch.float64), 0, False
    while not clean:
        again, in_pass = perceptron.learn_pass(again, CORNERS, t)
        counted, clean = counted + in_pass, in_pass == 0
    assert torch.equal(w, again)
    assert mistakes == counted > 0
    assert torch.equal(perceptron.output(w, CORNERS), t)


def test_no_single_unit_computes_xor() -> None:
    w, _, done = perceptron.learn(CORNERS, XOR, passes=200)
    assert not done
    units = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right = (perceptron.step(units @ CORNERS.T) == XOR).double().mean(1)
    assert right.max() == 0.75
    assert (perceptron.output(w, CORNERS) == XOR).double().mean() <= 0.75


def test_margin_radius_and_bound_of_a_worked_example() -> None:
    x = torch.tensor([[3.0, 4.0], [-2.0, 0.0]], dtype=torch.float64)
    t = torch.tensor([1.0, 0.0], dtype=torch.float64)
    w = torch.tensor([5.0, 0.0], dtype=torch.float64)
    assert perceptron.radius(x) == 5
    assert perceptron.margin(w, x, t) == 2
    assert perceptron.mistake_bound(w, x, t) == 6.25
    assert perceptron.margin(w, x[:1], t[:1]) == 3  # the positive side counts alike
    with pytest.raises(ValueError, match="do not separate"):
        perceptron.mistake_bound(-w, x, t)
    with pytest.raises(ValueError, match="do not separate"):  # a sample on the line
        perceptron.mistake_bound(torch.tensor([0.0, 1.0], dtype=torch.float64), x, t)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), samples=st.integers(2, 40), inputs=st.integers(1, 4))
def test_mistakes_stay_below_novikoffs_bound_and_the_rate_is_irrelevant(seed: int, samples: int, inputs: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(inputs + 1, generator=draw, dtype=torch.float64)
    x = perceptron.fold_bias(torch.randn(samples, inputs, generator=draw, dtype=torch.float64))
    x = x[(x @ truth).abs() > 0.2 * truth.norm()]  # a margin of at least 0.2 keeps the bound small
    if len(x) == 0:
        return
    t = perceptron.output(truth, x)
    w, mistakes, done = perceptron.learn(x, t)
    assert done
    assert torch.equal(perceptron.output(w, x), t)
    assert mistakes <= perceptron.mistake_bound(truth, x, t)
    scaled, mistakes_scaled, _ = perceptron.learn(x, t, lr=0.25)
    assert mistakes_scaled == mistakes
    torch.testing.assert_close(scaled, 0.25 * w)
