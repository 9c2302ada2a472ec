"""Baselines of anomaly detection: PCA reconstruction, isolation forest, one-class SVM, on the inputs of the model.

Legend: N samples, F features, K components.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SUPPORT = 3000
"""training samples of the one-class SVM at most: its time is their square"""
LARGEST = 4000
"""training samples of which PCA takes the components at most"""


def baseline_scores(train_NF: Floats, held_out_NF: Floats | None, judged_NF: Floats, seed: int) -> dict[str, Floats]:
    """The score of each judged sample by each baseline, fitted on normal training samples: the larger, the less normal.

    ``held_out_NF``, normal samples, choose the number of principal components; without them a fifth of the training
    samples do.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    order = np.random.default_rng(seed).permutation(len(train_NF))
    some_NF = train_NF[order[:LARGEST]]
    components = principal_components(some_NF, held_out_NF)
    forest = IsolationForest(random_state=seed % 2**32).fit(train_NF)
    machine = OneClassSVM(nu=0.1, gamma="scale").fit(train_NF[order[:SUPPORT]])
    return {
        "pca": pca_errors(some_NF, components, judged_NF),
        "isolation_forest": -forest.score_samples(judged_NF),
        "one_class_svm": -machine.decision_function(judged_NF),
    }


def principal_components(train_NF: Floats, held_out_NF: Floats | None) -> int:
    """The number of components under which held-out normal samples are most probable, by probabilistic PCA (Tipping,
    Bishop 1999): the error of reconstruction alone would always ask for more."""
    if held_out_NF is None or len(held_out_NF) < 2:
        cut = max(1, len(train_NF) // 5)
        train_NF, held_out_NF = train_NF[cut:], train_NF[:cut]
    mean_F, variances, axes = _axes(train_NF)
    features, rank = train_NF.shape[1], int((variances > 1e-10 * variances.max(initial=0.0)).sum())
    along_NK = ((held_out_NF - mean_F) @ axes.T) ** 2
    whole_N = ((held_out_NF - mean_F) ** 2).sum(1)
    best, count = -np.inf, 1
    for K in range(1, max(2, min(rank, features))):
        rest = max(variances[K:].sum() / (features - K), 1e-12)
        inside = (along_NK[:, :K] / variances[:K]).sum(1) + np.log(variances[:K]).sum()
        outside = (whole_N - along_NK[:, :K].sum(1)).clip(0) / rest + (features - K) * np.log(rest)
        probability = -float((inside + outside).mean())
        if probability > best:
            best, count = probability, K
    return count


def pca_errors(train_NF: Floats, components: int, judged_NF: Floats) -> Floats:
    """The squared error of each sample restored from its principal components."""
    mean_F, _, axes = _axes(train_NF)
    away_NF = judged_NF - mean_F
    kept = axes[:components]
    errors_N: Floats = ((away_NF - away_NF @ kept.T @ kept) ** 2).sum(1)
    return errors_N


def _axes(train_NF: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, variances along the principal axes in decreasing order, and the axes in rows."""
    mean_F = train_NF.mean(0)
    _, lengths, axes = np.linalg.svd(train_NF - mean_F, full_matrices=False)
    return mean_F, lengths**2 / len(train_NF), axes


def ranked(score_N: Any, anomalous_N: Any) -> dict[str, float]:
    """{"auroc", "auc_pr"}: the area under the ROC curve, and the average precision, of anomalies found by a score."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auroc": float(roc_auc_score(anomalous_N, score_N)),
        "auc_pr": float(average_precision_score(anomalous_N, score_N)),
    }
