"""Bars, clearances and the verdict: at the edges, and where seeds disagree."""

from __future__ import annotations

from math import inf, nan

import pytest
from claim_examples import result_of

from lamina.claims.claim import Bar, clearances, judge

MOST = Bar(number="error", at_most=0.5, why="")
LEAST = Bar(number="gain", at_least=2.0, why="")
EXACT = Bar(number="count", equals=14, why="")


@pytest.mark.parametrize(
    ("bar", "value", "clearance"),
    [
        (MOST, 0.5, 1.0),
        (MOST, 0.25, 2.0),
        (MOST, 1.0, 0.5),
        (MOST, 0.0, inf),
        (MOST, inf, 0.0),
        (MOST, nan, 0.0),
        (LEAST, 2.0, 1.0),
        (LEAST, 6.0, 3.0),
        (LEAST, 1.0, 0.5),
        (LEAST, 0.0, 0.0),
        (LEAST, inf, inf),
        (LEAST, nan, 0.0),
        (EXACT, 14.0, inf),
        (EXACT, 15.0, 0.0),
        (EXACT, nan, 0.0),
    ],
)
def test_clearance(bar: Bar, value: float, clearance: float) -> None:
    assert bar.clearance(value) == clearance


@pytest.mark.parametrize("limits", [{}, {"at_most": 1.0, "at_least": 0.5}, {"at_most": 0.0}, {"at_least": -1.0}])
def test_a_bar_needs_one_limit_above_zero(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the bar of error needs one of"):
        Bar(number="error", why="", **limits)


@pytest.mark.parametrize(
    ("errors", "universal", "margin", "verdict"),
    [
        ([0.5, 0.1], False, 1.0, "holds"),  # just on the bar is enough
        ([0.51, 0.52], False, 1.0, "fails"),
        ([0.1, 0.51], False, 1.0, "inconclusive"),  # the seeds disagree
        ([0.1, 0.51], True, 1.0, "fails"),  # one counter-example refutes what is said of every case
        ([0.25, 0.25], False, 2.0, "holds"),  # twice over, just
        ([0.25, 0.26], False, 2.0, "inconclusive"),  # over the bar, but not far enough
        ([0.26, 0.26], True, 2.0, "inconclusive"),
        ([0.26, 0.51], True, 2.0, "fails"),
        ([nan], False, 1.0, "fails"),
        ([0.1, nan], False, 1.0, "inconclusive"),
        ([0.0], True, 2.0, "holds"),
    ],
)
def test_verdict(errors: list[float], universal: bool, margin: float, verdict: str) -> None:
    assert judge([MOST], {"error": errors}, universal=universal, margin=margin) == verdict


def test_every_bar_counts_and_the_nearest_one_is_the_margin() -> None:
    numbers = {"error": [0.1, 0.25], "gain": [3.0, 40.0], "free": [nan, nan]}
    assert clearances([MOST, LEAST], numbers) == [1.5, 2.0]
    assert judge([MOST, LEAST], numbers, universal=False) == "holds"
    # seed 0 fails one bar, seed 1 the other: no seed clears both
    assert judge([MOST, LEAST], {"error": [0.6, 0.1], "gain": [3.0, 1.0]}, universal=False) == "fails"


def test_a_run_judges_what_it_measured() -> None:
    result = result_of(0.2, 0.8, 0.4)
    assert (result.verdict, result.margin) == ("holds", 1.25)
    assert result.numbers == {"error": (0.2, 0.8, 0.4)}
    assert result.mean("error") == pytest.approx(1.4 / 3)
    assert result.std("error") == pytest.approx(0.30550504633)
    assert result_of(2.0, 3.0).verdict == "fails"
    assert result_of(0.5, 3.0).verdict == "inconclusive"
    assert result_of(0.5, 3.0, universal=True).verdict == "fails"
    assert result_of(0.8, 0.8, margin=2.0).verdict == "inconclusive"
