"""The score of NAB: the vector of the protocol, brute force over thresholds, and what point adjustment does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from lamina.equations import anomaly as nab

DETECTIONS, WINDOW = (10, 20, 50, 62, 66, 75, 99), [(60, 69)]


@pytest.mark.parametrize(
    ("profile", "raw", "score"),
    [
        (nab.STANDARD, 0.544684784, 77.234239),
        (nab.LOW_FALSE_POSITIVES, 0.112262727, 55.613136),
        (nab.LOW_FALSE_NEGATIVES, 0.544684784, 84.822826),
    ],
)
def test_the_vector(profile: nab.Profile, raw: float, score: float) -> None:
    found = nab.nab_raw(DETECTIONS, WINDOW, 100, profile)
    assert found == pytest.approx(raw, abs=5e-10)
    assert nab.normalised([found], 1, profile) == pytest.approx(score, abs=5e-7)


def test_the_values_of_the_ends() -> None:
    assert nab.scaled_sigmoid(-1) == pytest.approx(0.986614, abs=5e-7)
    assert nab.scaled_sigmoid(0) == 0
    assert nab.scaled_sigmoid(3.01) == -1 < nab.scaled_sigmoid(3)
    assert nab.probation(100) == 15
    assert nab.probation(1_000_000) == 750
    assert nab.nab_raw([60], WINDOW, 100) == pytest.approx(1.0)  # at once: perfect
    assert nab.normalised([1.0], 1) == 100
    assert nab.nab_raw([], WINDOW, 100) == -1
    assert nab.normalised([-1.0], 1) == 0
    assert nab.nab_raw([14], WINDOW, 100) == -1  # in the probation
    assert nab.nab_raw([15], WINDOW, 100) == pytest.approx(-1.11)
    assert nab.nab_raw([62], WINDOW, 100) == nab.nab_raw([62, 63, 69], WINDOW, 100)  # one value a window
    assert nab.nab_raw([75, 76], [(60, 69)], 100) < nab.nab_raw([75], [(60, 69)], 100)  # every false one


def test_a_corpus_has_one_threshold() -> None:
    """Against every threshold tried one after the other, with ties, two files, several windows and none."""
    draw = np.random.default_rng(0)
    scores = [torch.from_numpy(draw.integers(0, 30, n) / 10) for n in (120, 80, 60)]
    windows = [[(30, 41), (70, 79)], [(20, 35)], []]
    for profile in (nab.STANDARD, nab.LOW_FALSE_POSITIVES, nab.LOW_FALSE_NEGATIVES):
        best = -math.inf
        for threshold in [math.inf, *torch.cat(scores).unique().tolist()]:
            raws = [
                nab.nab_raw((score >= threshold).nonzero().flatten().tolist(), own, len(score), profile)
                for score, own in zip(scores, windows, strict=True)
            ]
            best = max(best, nab.normalised(raws, 3, profile))
        found = nab.best_threshold(scores, windows, profile)
        assert found.score == pytest.approx(best, abs=1e-9)
        raws = [
            nab.nab_raw((score >= found.threshold).nonzero().flatten().tolist(), own, len(score), profile)
            for score, own in zip(scores, windows, strict=True)
        ]
        assert nab.normalised(raws, 3, profile) == pytest.approx(best, abs=1e-9)


def test_the_best_f1() -> None:
    draw = np.random.default_rng(1)
    labels, scores = draw.random(60) < 0.3, draw.integers(0, 12, 60) / 4
    expected = max(f1_score(labels, scores >= t) for t in np.unique(scores))
    found = nab.best_f1(torch.from_numpy(scores), torch.from_numpy(labels))
    assert found == pytest.approx(expected)


def test_point_adjustment_finds_whole_segments() -> None:
    labels = torch.zeros(100, dtype=torch.bool)
    labels[40:60] = labels[99] = True
    score = torch.zeros(100)
    score[50] = score[99] = 1.0
    assert nab.best_f1(score, labels, adjust=True) == 1.0
    assert nab.best_f1(score, labels) == pytest.approx(max(4 / 23, 42 / 121))
