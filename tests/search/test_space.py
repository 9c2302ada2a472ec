"""Spaces: read, checked, counted, sampled."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.errors import UsageError
from lamina.search.decisions import Choice, Range
from lamina.search.space import Space

CONDITIONAL = {
    "momentum": {"low": 0.5, "high": 0.9, "step": 0.1, "when": {"optimizer": "sgd"}},
    "optimizer": ["sgd", "adam", "adamw"],
    "nesterov": {"values": [True, False], "when": {"optimizer": ["sgd"], "batch_size": [32, 64]}},
    "batch_size": [16, 32, 64],
}


def test_a_space_counts_what_it_lists() -> None:
    space = Space.of(CONDITIONAL)
    points = list(space.points())
    assert len({space.key(point) for point in points}) == len(points) == space.size
    assert space.size == 2 * 3 + 5 * (1 + 2 * 2)  # adam, adamw; sgd: momentum, and nesterov of two batch sizes
    for point in points:
        space.check(point)


def test_the_space_of_six_operations_has_15625_points() -> None:
    space = Space.of({f"model.operations[{i}]": list("abcde") for i in range(6)})
    assert space.size == 15_625


@pytest.mark.parametrize(
    "values",
    [
        {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "width": {"low": 8, "high": 512, "log": True}},
        CONDITIONAL,
        {"hidden": [[64], [64, 64], []], "flip": [True, False, 1, 0, 1.0], "share": {"low": 0.0, "high": 1.0}},
        {"n": {"low": 3, "high": 3}, "m": {"low": -5, "high": 5, "step": 4}},
    ],
)
def test_points_lie_in_the_space_and_mutants_differ_in_one_decision(values: dict[str, Any]) -> None:
    space, random = Space.of(values), Random(1)
    again = Space.of(space.to_dict())
    assert again.to_dict() == space.to_dict()
    for _ in range(300):
        point = space.sample(random)
        space.check(point)
        again.check(point)
        for other in (space.mutated(point, random), *space.neighbours(point, random)):
            space.check(other)
            assert space.key(other) != space.key(point)
            changed = [
                name for name in point if name in other and space.key({"": point[name]}) != space.key({"": other[name]})
            ]
            assert len(changed) == 1
            gone = [name for name in (*point, *other) if name not in point or name not in other]
            assert all(changed[0] in space[name].when for name in gone)


@settings(max_examples=60)
@given(st.floats(1e-6, 10), st.floats(1.1, 1e6), st.booleans())
def test_real_ranges_hold_their_ends(low: float, factor: float, log: bool) -> None:
    decision = Range("x", low, low * factor, log=log)
    random = Random(0)
    values = [decision.sample(random) for _ in range(50)]
    assert all(decision.contains(value) for value in values)
    assert decision.cell_of(low, 8) == 0
    assert decision.cell_of(low * factor, 8) == 7
    assert all(decision.cell_of(decision.in_cell(cell, 8, random), 8) == cell for cell in range(8))


def test_whole_numbers_of_a_log_range_are_all_drawn() -> None:
    decision = Range("n", 1, 6, log=True, integer=True)
    random = Random(0)
    drawn = [decision.sample(random) for _ in range(4000)]
    counts = [drawn.count(n) for n in range(1, 7)]
    assert sum(counts) == 4000
    assert all(more > less for more, less in pairwise(counts))


def test_a_stepped_range_is_uniform_and_does_not_pass_its_end() -> None:
    decision = Range("n", 16, 100, integer=True, step=32)
    random = Random(0)
    drawn = [decision.sample(random) for _ in range(3000)]
    assert sorted(set(drawn)) == [16, 48, 80]
    assert min(drawn.count(n) for n in (16, 48, 80)) > 900
    assert decision.count == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "empty"),
        ({"lr": [0.1]}, "one point"),
        ({"lr": [0.1], "n": {"low": 2, "high": 2}}, "one point"),
        ({"lr": []}, "no values"),
        ({"lr": [0.1, 0.1]}, "twice"),
        ({"hidden": [[1, 2], [1, 2]]}, "twice"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, "above 0"),
        ({"lr": {"low": -1e-3, "high": 1.0, "log": True}}, "above 0"),
        ({"lr": {"low": 1.0, "high": 0.1}}, "lower bound first"),
        ({"lr": {"low": 0.1, "high": math.inf}}, "finite"),
        ({"lr": {"low": 0.1, "high": math.nan}}, "finite"),
        ({"lr": {"low": "low", "high": 1}}, "number"),
        ({"lr": {"low": True, "high": 3}}, "number"),
        ({"lr": {"low": 0.1}}, "low and high"),
        ({"lr": {"lo": 0.1, "high": 1}}, "did you mean 'low'"),
        ({"lr": {"low": 1, "high": 2, "step": 0}}, "step"),
        ({"lr": {"low": 1, "high": 2, "step": 1, "log": True}}, "no step"),
        ({"lr": {"low": 1, "high": 2, "log": "yes please"}}, "true or false"),
        ({"lr": 0.1}, "expected a list"),
        ({"lr": {"values": [1, 2], "low": 1}}, "a choice, or a range"),
        ({"lr": {"values": 3}}, "list"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": {"aa": 1}}}, "did you mean 'a'"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": {"optimizer": "sgd"}}}, "'b'"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": {"a": 3}}}, "none of 1, 2"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": {"a": True}}}, "none of 1, 2"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": 1}}, "when"),
        ({"a": [1, 2], "b": {"values": [1, 2], "when": {}}}, "when"),
        ({"a": {"low": 1, "high": 2}, "b": {"values": [1, 2], "when": {"a": 1}}}, "a range"),
        ({"a": {"values": [1, 2], "when": {"a": 1}}}, "circle"),
        ({"a": {"values": [1, 2], "when": {"b": 1}}, "b": {"values": [1, 2], "when": {"a": 1}}}, "circle"),
    ],
)
def test_what_is_no_space_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Space.of(values)


def test_a_condition_may_come_before_what_it_depends_on() -> None:
    space = Space.of(CONDITIONAL)
    names = [decision.name for decision in space.decisions]
    assert names.index("optimizer") < names.index("momentum")
    assert "momentum" not in space.completed({"optimizer": "adam"}, Random(0))
    assert 0.5 <= space.completed({"optimizer": "sgd"}, Random(0))["momentum"] <= 0.9


def test_points_of_another_space_are_refused() -> None:
    space = Space.of(CONDITIONAL)
    point = space.completed({"optimizer": "adam"}, Random(0))
    for wrong, words in (
        ({**point, "momentum": 0.5}, "depends on optimizer=sgd"),
        ({**point, "optimizer": "lion"}, "none|no value"),
        ({**point, "optimiser": "sgd"}, "did you mean"),
        ({"optimizer": "adam"}, "no value of 'batch_size'"),
    ):
        with pytest.raises(UsageError, match=words):
            space.check(wrong)


def test_values_equal_to_python_are_told_apart() -> None:
    decision = Choice("x", (True, 1, 1.0, "1"))
    assert [decision.index(value) for value in (True, 1, 1.0, "1")] == [0, 1, 2, 3]
