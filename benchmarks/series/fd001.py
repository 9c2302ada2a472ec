"""Remaining life of the engines of C-MAPSS FD001. All settings are here.

Legend: W windows, L context, D sensors.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV

from benchmarks.laboratory import Laboratory, Row, Values
from lamina.data.formats.cmapss import read_cycles, read_left

Floats = NDArray[np.float64]
SENSORS = tuple(f"s{k}" for k in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21))
L, CAP, SEEDS = 30, 125.0, (0, 1, 2, 3, 4)
DATA: dict[str, Any] = {
    "data": "$LAMINA_DATA/cmapss_fd001",
    "past": list(SENSORS),
    "context": L,
    "validation": 0.2,
    "objective": {"name": "mse", "cap": CAP},
    "optimizer": "adam",
    "schedule": "cosine",
}
MODELS: dict[str, tuple[dict[str, Any], float | None, float | None]] = {
    # options beside DATA, the bars of RMSE and score
    "lstm-forecaster": (
        {"lr": 0.006, "batch_size": 512, "epochs": 12, "model_options": {"hidden_size": 48, "head": [32]}},
        16.9,
        750.0,
    ),
    "mlp-forecaster": (
        {"lr": 0.002, "batch_size": 512, "epochs": 12, "model_options": {"hidden": [64, 32], "dropout": 0.0}},
        16.0,
        None,
    ),
    "patchtst": (
        {
            "lr": 0.002,
            "batch_size": 512,
            "epochs": 12,
            "model_options": {"patch_size": 6, "stride": 3, "model_width": 16, "feed_forward": 32, "dropout": 0.1},
        },
        None,
        None,
    ),
}


def score(predicted: Floats, true: Floats) -> float:
    late = predicted - true
    return float(np.where(late < 0, np.expm1(-late / 13), np.expm1(late / 10)).sum())


def summaries(windows: Floats) -> Floats:
    """Mean, and the last ten less the first ten rows, of windows (W, L, D)."""
    return np.concatenate([windows.mean(1), windows[:, -10:].mean(1) - windows[:, :10].mean(1)], 1)


def closed(name: str) -> Values:
    folder = Path(os.path.expandvars("$LAMINA_DATA/cmapss_fd001"))
    train, test = (read_cycles(folder / f"{split}_FD001.txt", split) for split in ("train", "test"))
    pasts, lives, last = [], [], []
    for _, unit in train.groupby("unit", sort=False):
        values = unit[list(SENSORS)].to_numpy()
        pasts.append(np.lib.stride_tricks.sliding_window_view(values, L, axis=0).transpose(0, 2, 1))
        lives.append(np.minimum(np.arange(len(values) - L, -1, -1), CAP))
    for _, unit in test.groupby("unit", sort=False):
        last.append(unit[list(SENSORS)].to_numpy()[-L:])
    x, y, z = summaries(np.concatenate(pasts)), np.concatenate(lives), summaries(np.stack(last))
    mean, std = x.mean(0), x.std(0)
    model: Any = RidgeCV(np.logspace(-2, 4, 13)) if name == "ridge" else HistGradientBoostingRegressor(random_state=0)
    predicted = model.fit((x - mean) / std, y).predict((z - mean) / std)
    true = np.array(read_left(folder / "RUL_FD001.txt"))
    return {"rmse": float(np.sqrt(((predicted - true) ** 2).mean())), "score": score(predicted, true)}


def measured(laboratory: Laboratory, model: str, settings: Mapping[str, Any]) -> Values:
    run, seconds = laboratory.train(model, settings)
    found = run.evaluate(level=(80,))
    names = {"rmse": "rmse", "capped": "rmse_capped", "score": "phm_score", "late": "late", "coverage": "coverage_80"}
    return {**{name: found[own] for name, own in names.items()}, "training": seconds}


def fd001(model: str, laboratory: Laboratory) -> Iterator[Row]:
    """One model over the seeds."""
    options, rmse_bar, score_bar = MODELS[model]
    found = []
    for seed in SEEDS:
        settings = {**DATA, **options, "seed": seed}
        found.append(
            laboratory.measured(f"fd001 {model} {seed}", settings, partial(measured, laboratory, model, settings))
        )
    means = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    spread = statistics.stdev(one["rmse"] for one in found)
    text = (
        f"{means['rmse']:.2f} ± {spread:.2f} / {means['score']:.0f}; of the capped truth {means['capped']:.2f}; "
        f"{means['late']:.0%} late"
    )
    reached = None
    if rmse_bar is not None:
        reached = means["rmse"] <= rmse_bar and (score_bar is None or means["score"] <= score_bar)
    bar = "-" if rmse_bar is None else f"<= {rmse_bar}" + (f" / {score_bar:.0f}" if score_bar else "")
    yield Row(f"FD001, `{model}`: RMSE / score, true life, five seeds", text, bar, reached)
    off = abs(means["coverage"] - 0.8)
    what = f"FD001, `{model}`: engines within their 80 % interval"
    yield Row(what, f"{means['coverage']:.0%}", "80 % within 8 points", off <= 0.08)


def beside(laboratory: Laboratory) -> Iterator[Row]:
    for name in ("ridge", "gradient boosting"):
        found = laboratory.measured(f"fd001 {name}", {"L": L, "cap": CAP}, partial(closed, name))
        what = f"FD001, {name} on the mean and the drift of windows: RMSE / score"
        yield Row(what, f"{found['rmse']:.2f} / {found['score']:.0f}", "-", None)


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "fd001-closed-forms": beside,
    **{f"fd001-{model}": partial(fd001, model) for model in MODELS},
}
