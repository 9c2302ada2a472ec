"""Codes as features: neighbours kept in two dimensions, k-NN, linear probes; beside PCA, t-SNE and the raw input.

Legend: N samples, F features, L numbers of a code.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lamina.data.source import Source, targets_of
from lamina.runs.autoencoding.baselines import Floats
from lamina.runs.evaluation import like, predicting
from lamina.runs.opened import Opened, final_split

Ints = NDArray[np.int64]
FITTED = 10_000
"""training samples that PCA, k-NN and probes are fitted on at most"""
DRAWN = 300
"""samples of the plot: t-SNE takes seconds for more"""
NEIGHBOURS = 10
LABELS = (10, 100, 1000)
"""labelled training samples of the probes"""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What codes are good for."""

    codes_N2: Floats
    """codes in two dimensions: as they are, or their principal components"""
    pca_N2: Floats
    """principal components of the inputs, fitted on training samples"""
    tsne_N2: Floats
    """t-SNE of the inputs: it cannot map new points"""
    classes_N: Ints | None
    """of the drawn samples"""
    latent: int
    scores: dict[str, float] = field(default_factory=dict)
    """ "trustworthiness", "pca_trustworthiness", "tsne_trustworthiness" of the plots; with classes "knn" of the codes
    and "pca_knn" of as many principal components; "probe_10", "raw_probe_10", "pca_probe_10", ..."""


def features(run: Opened, split: str | None = None, source: Source | None = None) -> Features:
    """Codes of a split judged; new samples are mapped by the encoder alone, nothing is fitted to them but t-SNE."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness

    source = run.source if source is None else source
    split = final_split(source) if split is None else split
    train_NF, train_NL, train_N = _samples(run, "train", None, FITTED)
    inputs_NF, codes_NL, targets_N = _samples(run, split, source, FITTED)
    seed = run.config.recipe.seed % 2**32
    latent, features_ = codes_NL.shape[1], inputs_NF.shape[1]
    size = max(1, min(latent, features_, len(train_NF) - 1))
    pca = PCA(size, random_state=seed).fit(train_NF)
    two = PCA(min(2, features_), random_state=seed).fit(train_NF)
    of_codes = None if latent <= 2 else PCA(2, random_state=seed).fit(train_NL)
    some_NF, some_NL = inputs_NF[:DRAWN], codes_NL[:DRAWN]
    plots = {
        "": some_NL if of_codes is None else of_codes.transform(some_NL),
        "pca_": two.transform(some_NF),
        "tsne_": _tsne(some_NF, seed),
    }
    k = max(1, min(NEIGHBOURS, (len(some_NF) - 1) // 2))
    scores = {
        f"{name}trustworthiness": float(trustworthiness(some_NF, plot, n_neighbors=k)) for name, plot in plots.items()
    }
    if train_N is not None and targets_N is not None and len(set(train_N.tolist())) > 1:
        spaces = {
            "": (train_NL, codes_NL),
            "raw_": (train_NF, inputs_NF),
            "pca_": (pca.transform(train_NF), pca.transform(inputs_NF)),
        }
        for name in ("", "pca_"):
            scores[f"{name}knn"] = _neighbours(*spaces[name], train_N, targets_N)
        for labels in LABELS:
            if labels <= len(train_N):
                for name, (fit, judged) in spaces.items():
                    scores[f"{name}probe_{labels}"] = _probe(fit, judged, train_N, targets_N, labels, seed)
    return Features(
        codes_N2=_two(plots[""]),
        pca_N2=_two(plots["pca_"]),
        tsne_N2=_two(plots["tsne_"]),
        classes_N=None if targets_N is None else targets_N[:DRAWN],
        latent=latent,
        scores=scores,
    )


def _samples(run: Opened, split: str, source: Source | None, most: int) -> tuple[Floats, Floats, Ints | None]:
    """Inputs (N, F), codes (N, L) and classes (N,), None without, of the first samples of a split."""
    task: Any = run.task
    parts: dict[str, list[torch.Tensor]] = {"x": [], "code": [], "target": []}
    count = 0
    for batch in run.batches(split, source):
        x = task.input(like(run.model, batch))
        with predicting(run.model):
            code = task.code(run.model, x, task.restore(run.model, x))
        parts["x"].append(x.flatten(1).double().cpu())
        parts["code"].append(code.double().cpu())
        if "target" in batch:
            parts["target"].append(batch["target"].cpu())
        count += len(x)
        if count >= most:
            break
    joined = {name: torch.cat(found)[:most].numpy() for name, found in parts.items() if found}
    of = run.source if source is None else source
    classed = "target" in joined and bool(of.spec.classes) and targets_of(of.splits[split]) is not None
    target = joined["target"] if classed and joined["target"].ndim == 1 else None
    return joined["x"], joined["code"], target


def _tsne(inputs_NF: Floats, seed: int) -> Floats:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(1.0, (len(inputs_NF) - 1) / 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Floats = TSNE(2, perplexity=perplexity, random_state=seed, init="random").fit_transform(inputs_NF)
    return found


def _neighbours(train_NL: Floats, judged_NL: Floats, train_N: Ints, truth_N: Ints) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    k = min(NEIGHBOURS, len(train_NL))
    return float(KNeighborsClassifier(k).fit(train_NL, train_N).score(judged_NL, truth_N))


def _probe(train_NL: Floats, judged_NL: Floats, train_N: Ints, truth_N: Ints, labels: int, seed: int) -> float:
    """Accuracy of a logistic regression on so many labelled samples, standardised by all training samples."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = train_NL.mean(0), train_NL.std(0)
    deviation[deviation < 1e-9] = 1.0
    chosen = np.random.default_rng(seed).permutation(len(train_N))[:labels]
    if len(set(train_N[chosen].tolist())) < 2:
        return float((truth_N == train_N[chosen[0]]).mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line on every step limit
        probe = LogisticRegression(max_iter=300).fit((train_NL[chosen] - mean) / deviation, train_N[chosen])
    return float(probe.score((judged_NL - mean) / deviation, truth_N))


def _two(plot: Floats) -> Floats:
    """Two columns, the second of zeros where there is one."""
    return plot if plot.shape[1] == 2 else np.column_stack([plot[:, 0], np.zeros(len(plot))])
