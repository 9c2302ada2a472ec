"""The report's statistics beside scikit-learn's and scipy's, to 1e-12."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from lamina.report import statistics


@pytest.fixture(params=[(0, 5, 400), (1, 3, 7), (2, 12, 40)], ids=["plain", "few", "classes missing"])
def answers(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, int]:
    """(truth, predicted, classes); with 40 samples of 12 classes some class is never true and some never predicted."""
    seed, classes, samples = request.param
    rng = np.random.default_rng(seed)
    used = classes - 2 if classes == 12 else classes
    truth_N = rng.integers(0, used, samples)
    predicted_N = np.where(rng.random(samples) < 0.6, truth_N, rng.integers(1, used + 1, samples) % classes)
    return truth_N, predicted_N, classes


def test_confusion_matrix(answers: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth_N, predicted_N, classes = answers
    ours = statistics.confusion_matrix(truth_N, predicted_N, classes)
    assert np.array_equal(ours, metrics.confusion_matrix(truth_N, predicted_N, labels=range(classes)))


def test_per_class(answers: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth_N, predicted_N, classes = answers
    ours = statistics.per_class(truth_N, predicted_N, classes)
    theirs = metrics.precision_recall_fscore_support(truth_N, predicted_N, labels=range(classes), zero_division=np.nan)
    for mine, yours in zip((ours.precision_K, ours.recall_K, ours.f1_K, ours.support_K), theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=0, atol=1e-12)
    assert np.array_equal(ours.predicted_K, np.bincount(predicted_N, minlength=classes))


def test_per_label() -> None:
    rng = np.random.default_rng(3)
    truth_NK, predicted_NK = rng.random((50, 6)) < 0.3, rng.random((50, 6)) < 0.3
    truth_NK[:, 4] = False
    predicted_NK[:, 4:] = False
    ours = statistics.per_label(truth_NK, predicted_NK)
    theirs = metrics.precision_recall_fscore_support(truth_NK, predicted_NK, zero_division=np.nan)
    for mine, yours in zip((ours.precision_K, ours.recall_K, ours.f1_K, ours.support_K), theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=0, atol=1e-12)
    assert math.isnan(ours.f1_K[4])  # neither there nor predicted
    assert ours.f1_K[5] == 0  # there, never predicted


def test_top_confusions_agree_with_the_matrix(answers: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth_N, predicted_N, classes = answers
    counts_KK = statistics.confusion_matrix(truth_N, predicted_N, classes)
    np.fill_diagonal(counts_KK, 0)
    found = statistics.top_confusions(truth_N, predicted_N, classes * classes)
    assert {(t, s): n for t, s, n in found} == {(t, s): n for (t, s), n in np.ndenumerate(counts_KK) if n}
    assert [n for *_, n in found] == sorted(counts_KK[counts_KK > 0].tolist(), reverse=True)
    assert found[:2] == statistics.top_confusions(truth_N, predicted_N, 2)
    assert statistics.top_confusions(truth_N, truth_N, 5) == []


@pytest.mark.parametrize("on_edges", [False, True])
def test_calibration(on_edges: bool) -> None:
    rng = np.random.default_rng(5)
    confidence_N = rng.uniform(0.2, 1.0, 500)
    if on_edges:  # a sample on an edge belongs to the bin below it
        confidence_N[:40] = np.linspace(0, 1, 16)[rng.integers(0, 16, 40)]
    right_N = rng.random(500) < confidence_N**2
    ours = statistics.calibration(confidence_N, right_N)
    share, stated = calibration_curve(right_N, confidence_N, n_bins=15, strategy="uniform")
    seen = ours.count_K > 0
    np.testing.assert_allclose(ours.accuracy_K[seen], share, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.confidence_K[seen], stated, rtol=0, atol=1e-12)
    assert ours.error == pytest.approx(np.sum(np.abs(share - stated) * ours.count_K[seen]) / 500, abs=1e-12)
    assert len(ours.count_K) == 15
    assert ours.count_K.sum() == 500


def test_calibration_by_hand() -> None:
    found = statistics.calibration(np.array([0.9, 0.9, 0.6, 1.0]), np.array([True, False, True, True]), bins=10)
    # two at 0.9 of which one is right, one at 0.6 right, one at 1.0 right
    assert found.error == pytest.approx((2 * 0.4 + 0.4 + 0.0) / 4, abs=1e-12)
    assert math.isnan(statistics.calibration(np.empty(0), np.empty(0, bool)).error)


@pytest.mark.parametrize("ties", [False, True])
def test_precision_recall_and_average_precision(ties: bool) -> None:
    rng = np.random.default_rng(6)
    truth_N, score_N = rng.random(300) < 0.2, rng.random(300)
    if ties:
        score_N = score_N.round(1)
    precision, recall = statistics.precision_recall(truth_N, score_N)
    theirs = metrics.precision_recall_curve(truth_N, score_N)
    np.testing.assert_allclose(precision, theirs[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(recall, theirs[1], rtol=0, atol=1e-12)
    ours = statistics.average_precision(truth_N, score_N)
    assert ours == pytest.approx(metrics.average_precision_score(truth_N, score_N), abs=1e-12)


def test_a_label_that_no_sample_has_has_no_average_precision() -> None:
    assert math.isnan(statistics.average_precision(np.zeros(4, bool), np.arange(4.0)))
    assert math.isnan(statistics.average_precision(np.zeros(0, bool), np.zeros(0)))


def test_errors() -> None:
    rng = np.random.default_rng(7)
    truth_N = rng.normal(50, 9, 200)
    predicted_N = truth_N + rng.normal(2, 3, 200)
    found = statistics.errors(truth_N, predicted_N)
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(truth_N, predicted_N), abs=1e-12)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(truth_N, predicted_N), abs=1e-12)
    assert found.r2 == pytest.approx(metrics.r2_score(truth_N, predicted_N), abs=1e-12)
    assert found.bias == pytest.approx(float(np.mean(predicted_N) - np.mean(truth_N)), abs=1e-12)
    assert found.bias > 1  # its sign is prediction minus truth
    assert math.isnan(statistics.errors(np.ones(5), np.ones(5)).r2)
    assert math.isnan(statistics.errors(np.empty(0), np.empty(0)).rmse)


@pytest.mark.parametrize(("right", "samples"), [(349, 360), (0, 12), (12, 12), (1, 2), (9_980, 10_000)])
def test_wilson_interval(right: int, samples: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(right, samples).proportion_ci(confidence_level=0.95, method="wilson")
    assert statistics.wilson_interval(right, samples) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_no_samples_no_interval() -> None:
    assert all(map(math.isnan, statistics.wilson_interval(0, 0)))
