"""The statistics of a report, as plain numpy functions. Undefined values (no samples of a class, say) are NaN.

Legend: N samples, K classes, labels or bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PerClass:
    """Precision, recall and F1 of each of K classes."""

    precision_K: Floats
    """NaN for a class that is never predicted"""
    recall_K: Floats
    """NaN for a class without samples"""
    f1_K: Floats
    """harmonic mean of the two; NaN for a class that is neither present nor predicted"""
    support_K: Ints
    """samples of the class"""
    predicted_K: Ints
    """samples predicted as the class"""


@dataclass(frozen=True)
class Calibration:
    """Predicted probability and accuracy, in bins of equal width over (0, 1]."""

    edges: Floats
    """(K + 1,)"""
    count_K: Ints
    confidence_K: Floats
    """mean predicted probability; NaN in an empty bin"""
    accuracy_K: Floats
    """accuracy; NaN in an empty bin"""
    error: float
    """expected calibration error: mean of |accuracy - confidence|, bins weighted by their samples"""


@dataclass(frozen=True)
class Errors:
    """Errors of predicted values; an error is prediction minus truth."""

    rmse: float
    mae: float
    r2: float
    """1 - residual / total sum of squares; NaN where the truth does not vary"""
    bias: float
    """mean error"""


def as_rows(values: NDArray[np.generic], samples: int) -> Floats:
    """(N,) or (N, K) as (N, K), also for no samples."""
    rows_NK = np.asarray(values, dtype=np.float64)
    return rows_NK if rows_NK.ndim == 2 else rows_NK.reshape(samples, 1)


def confusion_matrix(truth_N: Ints, predicted_N: Ints, classes: int) -> Ints:
    """Counts (K, K): row the true class, column the predicted class."""
    pairs_N = truth_N * classes + predicted_N
    return np.bincount(pairs_N, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def top_confusions(truth_N: Ints, predicted_N: Ints, most: int) -> list[tuple[int, int, int]]:
    """The most frequent mistakes as (true class, predicted class, count), ties in order of class."""
    wrong_N = truth_N != predicted_N
    pairs, counts = np.unique(np.stack([truth_N[wrong_N], predicted_N[wrong_N]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order]


def per_class(truth_N: Ints, predicted_N: Ints, classes: int) -> PerClass:
    """From class indices (N,)."""
    hits_K = np.bincount(truth_N[truth_N == predicted_N], minlength=classes)
    return _per_class(hits_K, np.bincount(truth_N, minlength=classes), np.bincount(predicted_N, minlength=classes))


def per_label(truth_NK: NDArray[np.bool_], predicted_NK: NDArray[np.bool_]) -> PerClass:
    """For multi-label targets, each label present or absent."""
    return _per_class((truth_NK & predicted_NK).sum(0), truth_NK.sum(0), predicted_NK.sum(0))


def _per_class(hits_K: Ints, support_K: Ints, predicted_K: Ints) -> PerClass:
    return PerClass(
        precision_K=_ratio(hits_K, predicted_K),
        recall_K=_ratio(hits_K, support_K),
        f1_K=_ratio(2 * hits_K, support_K + predicted_K),
        support_K=support_K.astype(np.int64),
        predicted_K=predicted_K.astype(np.int64),
    )


def calibration(confidence_N: Floats, right_N: NDArray[np.bool_], bins: int = 15) -> Calibration:
    """From confidences and whether each prediction was right (Guo et al., ICML 2017, equations 2 to 5)."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    bin_N = np.searchsorted(edges[1:-1], confidence_N)  # a bin holds its upper edge
    count_K = np.bincount(bin_N, minlength=bins)
    confidence_K = _ratio(np.bincount(bin_N, weights=confidence_N, minlength=bins), count_K)
    accuracy_K = _ratio(np.bincount(bin_N, weights=right_N.astype(np.float64), minlength=bins), count_K)
    total = int(count_K.sum())
    error = float(np.nansum(np.abs(accuracy_K - confidence_K) * count_K)) / total if total else math.nan
    return Calibration(edges, count_K.astype(np.int64), confidence_K, accuracy_K, error)


def precision_recall(truth_N: NDArray[np.bool_], score_N: Floats) -> tuple[Floats, Floats]:
    """(precision, recall) at every threshold, from the lowest score up, then the point (1, 0).

    Recall is NaN where nothing is positive.
    """
    order_N = np.argsort(-score_N, kind="stable")
    truth_N, score_N = truth_N[order_N], score_N[order_N]
    last_of_ties = np.append(np.flatnonzero(np.diff(score_N)), len(score_N) - 1) if len(score_N) else np.empty(0, int)
    hits = np.cumsum(truth_N, dtype=np.int64)[last_of_ties]
    precision = _ratio(hits, last_of_ties + 1)
    recall = _ratio(hits, np.full(len(hits), truth_N.sum(dtype=np.int64)))
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


def average_precision(truth_N: NDArray[np.bool_], score_N: Floats) -> float:
    """Precision averaged over the steps of recall, without interpolation; NaN where nothing is positive."""
    precision, recall = precision_recall(truth_N, score_N)
    return float(-np.sum(np.diff(recall) * precision[:-1])) if truth_N.any() else math.nan


def errors(truth_N: Floats, predicted_N: Floats) -> Errors:
    """Errors of predicted values."""
    if not len(truth_N):
        return Errors(math.nan, math.nan, math.nan, math.nan)
    residual_N = predicted_N - truth_N
    total = float(np.sum((truth_N - truth_N.mean()) ** 2))
    return Errors(
        rmse=math.sqrt(float(np.mean(residual_N**2))),
        mae=float(np.mean(np.abs(residual_N))),
        r2=1.0 - float(np.sum(residual_N**2)) / total if total > 0 else math.nan,
        bias=float(np.mean(residual_N)),
    )


def wilson_interval(right: int, samples: int) -> tuple[float, float]:
    """95 % interval of a share, from ``right`` of ``samples`` (Wilson, JASA 22, 1927); NaN without samples."""
    if not samples:
        return math.nan, math.nan
    z, share = 1.959963984540054, right / samples
    centre = share + z * z / (2 * samples)
    spread = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    scale = 1 + z * z / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> Floats:
    result = np.full(len(below), np.nan)
    np.divide(above, below, out=result, where=below != 0, dtype=np.float64)
    return result
