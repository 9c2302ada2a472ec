"""Baselines, computed on the data of a run."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from lamina.data.source import targets_of
from lamina.data.streams import InMemory
from lamina.reproduction.kneser_ney import KneserNey

if TYPE_CHECKING:
    from lamina.runs.run import Run


def ridge(run: Run, split: str) -> float:
    """R2 of ridge regression, its strength chosen by cross-validation, fitted on the rows the run was trained on."""
    import numpy as np
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score

    features = {name: _held(run, name).tensors["features"].numpy() for name in ("train", split)}
    truth = {name: _targets(run, name).numpy() for name in features}
    model = RidgeCV(alphas=np.logspace(-3, 3, 25)).fit(features["train"], truth["train"])
    return float(r2_score(truth[split], model.predict(features[split])))


def kneser_ney(run: Run, split: str) -> float:
    """Perplexity of a 5-gram with interpolated modified Kneser-Ney smoothing, over the run's own tokens."""
    train, held_out = (_held(run, name).tensors["tokens"].tolist() for name in ("train", split))
    return KneserNey(train, 5, run.preprocess.model_options()["vocab_size"]).perplexity(held_out)


def bz2_alone(run: Run, split: str) -> float:
    """Bits that bz2 needs for each character of a split."""
    text = _text(run, split)
    return 8 * len(bz2.compress(text.encode())) / len(text)


def bz2_after_train(run: Run, split: str) -> float:
    """Bits that bz2 needs for each character of a split, appended to the training text."""
    train, text = _text(run, "train"), _text(run, split)
    before, whole = len(bz2.compress(train.encode())), len(bz2.compress((train + text).encode()))
    return 8 * (whole - before) / len(text)


BASELINES: dict[str, Callable[[Run, str], float]] = {
    "ridge": ridge,
    "kneser-ney": kneser_ney,
    "bz2": bz2_alone,
    "bz2-after-train": bz2_after_train,
}


def _text(run: Run, split: str) -> str:
    running: Any = run.source.splits[split]
    return str(running.text)


def _held(run: Run, split: str) -> InMemory:
    return cast(InMemory, run.preprocess.encode(run.source.splits[split], hold=True))


def _targets(run: Run, split: str) -> Tensor:
    return cast(Tensor, targets_of(run.source.splits[split]))
