"""Strategies are functions of (seed, number, finished trials), and find what is good."""

from __future__ import annotations

from random import Random
from statistics import fmean
from typing import Any

import pytest

from lamina.errors import UsageError
from lamina.search.space import Point, Space
from lamina.search.strategies import STRATEGIES, Finished, drive, front, strategy_named

BITS = Space.of({f"bit{i}": [0, 1] for i in range(12)})
MIXED = Space.of(
    {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "optimizer": ["sgd", "adamw"],
        "momentum": {"low": 0.0, "high": 0.95, "when": {"optimizer": "sgd"}},
        "width": {"low": 8, "high": 64, "step": 8},
        "hidden": [[8], [8, 8], []],
    }
)


def ones(point: Point) -> float:
    return float(sum(point.values()))


def mixed(point: Point) -> float:
    bonus = point.get("momentum", 0.0) + len(point["hidden"]) / 4
    return float(bonus - abs(point["lr"] - 0.01) - abs(point["width"] - 32) / 64)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_stopped_anywhere_goes_on_as_if_it_was_not(name: str) -> None:
    options: dict[str, Any] = {"startup": 6} if name in ("tpe", "gp", "nsga2") else {}
    count = 14 if name in ("tpe", "gp", "nsga2") else 40
    whole = drive(strategy_named(name, options), MIXED, mixed, trials=count, seed=3)
    for stop in (1, 7, count - 1):
        fresh = strategy_named(name, options)
        finished = [Finished(t.number, dict(t.point), t.scores, notes=t.notes) for t in whole[:stop]]
        assert fresh.propose(MIXED, 3, stop, finished).point == whole[stop].point
    other = drive(strategy_named(name, options), MIXED, mixed, trials=4, seed=4)
    assert [t.point for t in other] != [t.point for t in whole[:4]]


@pytest.mark.parametrize("controller", ["softmax", "lstm"])
def test_the_controllers_of_reinforce_go_on_as_if_not_stopped(controller: str) -> None:
    options = {"controller": controller, "entropy": 0.1}
    whole = drive(strategy_named("reinforce", options), MIXED, mixed, trials=20, seed=0)
    fresh = strategy_named("reinforce", options)
    assert fresh.propose(MIXED, 0, 15, whole[:15]).point == whole[15].point


@pytest.mark.parametrize("name", ["evolution", "reinforce", "local", "tpe", "nsga2"])
def test_guided_strategies_beat_random_search(name: str) -> None:
    seeds = range(2 if name in ("tpe", "nsga2") else 10)
    options = {"startup": 8} if name in ("tpe", "nsga2") else {}

    def best(strategy: str, options: dict[str, Any]) -> float:
        runs = [drive(strategy_named(strategy, options), BITS, ones, trials=50, seed=seed) for seed in seeds]
        return fmean(max(t.scores[0] for t in run if t.scores) for run in runs)

    assert best(name, options) > best("random", {}) + 0.5


def test_an_lstm_controller_learns() -> None:
    strategy = strategy_named("reinforce", {"controller": "lstm", "rate": 0.01, "entropy": 0.05})
    run = drive(strategy, BITS, ones, trials=50, seed=0, repeats=20)
    scores = [t.scores[0] for t in run if t.scores]
    assert fmean(scores[-15:]) > fmean(scores[:15]) + 2


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_whole_of_a_small_space_is_found_without_repeating_a_training(name: str) -> None:
    space = Space.of({"a": [1, 2], "b": {"values": [1, 2], "when": {"a": 1}}})
    asked: list[str] = []

    def evaluate(point: Point) -> float:
        asked.append(space.key(point))
        return float(point["a"])

    options = {"startup": 2} if name in ("tpe", "gp", "nsga2") else {"entropy": 1.0} if name == "reinforce" else {}
    drive(strategy_named(name, options), space, evaluate, trials=100, seed=0, repeats=40)
    assert len(asked) == len(set(asked)) <= 3
    if name in ("random", "local"):
        assert len(asked) == 3


@pytest.mark.parametrize("name", ["random", "evolution", "tpe", "nsga2", "gp"])
def test_several_objectives(name: str) -> None:
    space = Space.of({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
    count = 12 if name == "gp" else 40
    options = {"startup": 10} if name in ("nsga2", "tpe", "gp") else {}
    run = drive(strategy_named(name, options), space, lambda p: (p["x"], 1 - p["x"] - p["y"]), trials=count, seed=0)
    whole = front([t.scores for t in run if t.scores])
    assert len({space.key(t.point) for t in run}) == count
    assert 1 < len(whole) <= count
    # on the true front y is 0
    assert fmean(run[i].point["y"] for i in whole) < fmean(t.point["y"] for t in run)


def test_failed_and_pending_trials() -> None:
    failed = [Finished(i, BITS.sample(Random(i)), None) for i in range(5)]
    for name in STRATEGIES:
        strategy = strategy_named(name)
        first = strategy.propose(BITS, 0, 5, failed).point
        other = strategy.propose(BITS, 0, 5, failed, pending=[BITS.key(first)], attempt=1).point
        assert BITS.key(first) != BITS.key(other)


def test_ageing_forgets_a_lucky_trial() -> None:
    """A trial that was overrated by noise is a parent for ever without ageing, and of P more trials with it."""
    lucky = [Finished(0, dict.fromkeys((d.name for d in BITS.decisions), 0), (99.0,))]
    later = [Finished(i, dict.fromkeys((d.name for d in BITS.decisions), 1), (5.0,)) for i in range(1, 11)]
    for ageing in (True, False):
        child = strategy_named("evolution", {"ageing": ageing}).propose(BITS, 0, 11, lucky + later).point
        assert (ones(child) == 11) is ageing


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("evolutoin", {}, "did you mean 'evolution'"),
        ("evolution", {"populaton": 3}, "did you mean 'population'"),
        ("evolution", {"population": 0}, "at least 1"),
        ("evolution", {"tournament": 2.5}, "whole number"),
        ("reinforce", {"rate": 0}, "greater than 0"),
        ("reinforce", {"controller": "gru"}, "controller"),
        ("reinforce", {"baseline_decay": 1.0}, r"\[0, 1\)"),
        ("reinforce", {"entropy": -1.0}, "negative"),
        ("tpe", {"startup": 0}, "at least 1"),
        ("nsga2", {"startup": 1}, "at least 2"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        strategy_named(name, options)
