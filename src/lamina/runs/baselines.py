"""Simple models of scikit-learn on a run's data: what a network has to beat.

They see what the network sees - the run's preprocessing, its training split - and are judged on the same split: the
majority class or the mean, logistic or ridge regression, gradient boosting on tables, the nearest neighbours of images,
TF-IDF features of texts.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from lamina.report.blocks import Section, Table
from lamina.runs.opened import Opened

MOST_ROWS = 10_000
"""training samples that baselines are fitted on, the first ones"""
MOST_FEATURES = 128
"""features above which their principal components are taken"""
COMPONENTS = 64
BOOSTED_FEATURES = 128
"""features up to which gradient boosting is tried: it is for tables"""
FILE = "baselines.json"

Scores = dict[str, float]
Array = Any
"""a numpy array"""


def baselines(run: Opened, split: str) -> dict[str, Scores]:
    """The scores of each baseline on a split, kept with the run; empty for other tasks than classification and
    regression of one value a sample.

    Example: ``baselines(lamina.open_run("runs/mlp-iris"), "test")["logistic regression"]["accuracy"]``
    """
    judge = JUDGES.get(run.task_name)
    if judge is None or "train" not in run.source.splits:
        return {}
    kept = _kept(run)
    if split not in kept:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence warnings of scikit-learn: a baseline is as good as it is
            kept[split] = judge(run, *_arrays(run, "train", MOST_ROWS), *_arrays(run, split, None))
        run.directory.write(FILE, {"data": run.source.spec.fingerprint, "splits": kept})
    return kept[split]


def section(run: Opened, split: str, metrics: Mapping[str, float]) -> list[Section]:
    """A section of the report: the run beside the baselines."""
    found = baselines(run, split)
    if not found:
        return []
    names = list(next(iter(found.values())))
    rows = [(model, *(f"{scores[name]:.4f}" for name in names)) for model, scores in found.items()]
    own = [("this run", *(f"{metrics[name]:.4f}" if name in metrics else "" for name in names))]
    note = (
        "Models of scikit-learn on the same data, split and preprocessing; images by their principal components, texts "
        f"by TF-IDF. Fitted on at most {MOST_ROWS:,} samples."
    )
    table = Table(title=f"On the {split} split", columns=("model", *names), rows=[*own, *rows], note=note)
    return [Section(name="baselines", title="Beside simple models", blocks=[table])]


def _kept(run: Opened) -> dict[str, dict[str, Scores]]:
    try:
        kept = json.loads((run.path / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(kept["splits"]) if kept.get("data") == run.source.spec.fingerprint else {}


def _arrays(run: Opened, split: str, most: int | None) -> tuple[Array, Array]:
    """Inputs, (N, F) float or N texts of token numbers, and targets (N,)."""
    inputs: list[Any] = []
    targets: list[torch.Tensor] = []
    count = 0
    for batch in run.batches(split):
        (x, *_), _ = run.preprocess.call(batch)
        if x.is_floating_point():
            inputs.append(x.flatten(1).float().numpy())
        else:
            lengths = batch.get("lengths", torch.full((len(x),), x.shape[1]))
            rows = zip(x.tolist(), lengths.tolist(), strict=True)
            inputs.append(np.array([" ".join(map(str, row[:length])) for row, length in rows], dtype=object))
        targets.append(batch["target"])
        count += len(x)
        if most is not None and count >= most:
            break
    return np.concatenate(inputs)[:most], torch.cat(targets)[:most].numpy()


def _features(x: Array, words: Any, linear: Any) -> Any:
    """The pipeline of a linear model or of neighbours for inputs such as ``x``."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if x.ndim == 1:
        return make_pipeline(words, linear)
    if x.shape[1] <= MOST_FEATURES:
        return make_pipeline(StandardScaler(), linear)
    components = min(COMPONENTS, len(x) - 1, x.shape[1])
    return make_pipeline(PCA(components, svd_solver="randomized", random_state=0), StandardScaler(), linear)


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=r"\d+", ngram_range=(1, 2), sublinear_tf=True, min_df=1)


def _classify(run: Opened, x: Array, y: Array, x_judged: Array, y_judged: Array) -> dict[str, Scores]:
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    def score(model: Any) -> Scores:
        return {"accuracy": float((model.fit(x, y).predict(x_judged) == y_judged).mean())}

    found = {"most frequent class": score(DummyClassifier())}
    if len(np.unique(y)) < 2:
        return found
    texts = x.ndim == 1
    name = "logistic regression of TF-IDF" if texts else "logistic regression"
    found[name] = score(_features(x, _words(), LogisticRegression(C=10.0 if texts else 1.0, max_iter=300)))
    if texts:
        return found
    if x.shape[1] > MOST_FEATURES or run.modality.augments:
        near = KNeighborsClassifier(min(5, len(x)))
        found["5 nearest neighbours"] = score(_features(x, _words(), near))
    elif x.shape[1] <= BOOSTED_FEATURES:
        found["gradient boosting"] = score(HistGradientBoostingClassifier(random_state=0))
    return found


def _regress(run: Opened, x: Array, y: Array, x_judged: Array, y_judged: Array) -> dict[str, Scores]:
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV

    y, y_judged = y.reshape(len(y), -1), y_judged.reshape(len(y_judged), -1)
    if y.shape[1] != 1:
        return {}
    decode = run.preprocess.target.decode
    truth = decode(torch.from_numpy(y_judged)).double().numpy().ravel()
    spread = float(((truth - truth.mean()) ** 2).sum())

    def score(model: Any) -> Scores:
        predicted = np.asarray(model.fit(x, y.ravel()).predict(x_judged), dtype=np.float32).reshape(-1, 1)
        wrong = (decode(torch.from_numpy(predicted)).double().numpy().ravel() - truth) ** 2
        scores = {"rmse": float(wrong.mean() ** 0.5)}
        return scores | ({"r2": 1 - float(wrong.sum()) / spread} if spread > 0 else {})

    found = {"mean": score(DummyRegressor())}
    found["ridge regression"] = score(_features(x, _words(), RidgeCV(np.logspace(-3, 3, 13))))
    if x.ndim == 2 and x.shape[1] <= BOOSTED_FEATURES and not run.modality.augments:
        found["gradient boosting"] = score(HistGradientBoostingRegressor(random_state=0))
    return found


JUDGES: dict[str, Callable[..., dict[str, Scores]]] = {"classification": _classify, "regression": _regress}
"""by task"""
