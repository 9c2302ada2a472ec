"""The table of the tiny space, rank correlations, and claims of search that fail where they must."""

from __future__ import annotations

import csv
from importlib import resources
from itertools import combinations

import pytest
from scipy.stats import kendalltau, spearmanr

from lamina.claims import tiny_space
from lamina.claims.experiments.search import hypergradient, search_beats_random
from lamina.claims.running import run_claim
from lamina.search.strategies import strategy_named
from lamina.tasks.architecture_search import hypergradient as gradients


def test_the_tiny_space_is_measured_in_full_and_its_seeds_agree() -> None:
    text = resources.files("lamina.claims").joinpath("tiny_space.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert len({row["architecture"] for row in rows}) == len(rows) == 125 == tiny_space.space().size
    assert {tiny_space.accuracy(point) for point in tiny_space.space().points()} == set(
        tiny_space.accuracies().values()
    )
    for one, other in combinations(("seed_0", "seed_1", "seed_2"), 2):
        assert spearmanr([float(row[one]) for row in rows], [float(row[other]) for row in rows]).statistic >= 0.7


def test_rank_correlations_are_scipy_s() -> None:
    a, b = [3.0, 1.0, 2.0, 2.0, 5.0, 0.0], [1.0, 1.0, 4.0, 2.0, 2.0, 0.5]
    assert tiny_space.kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)
    assert tiny_space.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_a_search_that_is_random_does_not_beat_random(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = search_beats_random.SearchSettings(seeds=(0,), searches=20)
    monkeypatch.setattr(search_beats_random, "strategy_named", lambda name, options: strategy_named("random"))
    assert run_claim("search-beats-random", settings).verdict == "fails"


def test_the_claims_of_the_hypergradient_and_of_size_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_claim("hypergradient").verdict == "holds"
    assert run_claim("largest-networks").verdict == "holds"

    def wrong(training, validation, weights, alphas, xi, epsilon=0.01):  # type: ignore[no-untyped-def]
        return gradients.by_differences(training, validation, weights, alphas, 2 * xi, epsilon)

    monkeypatch.setattr(hypergradient, "by_differences", wrong)
    assert run_claim("hypergradient").verdict == "fails"
