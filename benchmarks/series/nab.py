"""Anomalies of the NAB subset: scored as the benchmark does. All settings are here.

Legend: N rows of a file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

import lamina
from benchmarks.laboratory import Laboratory, Row, Values
from lamina.equations.anomaly import (
    LOW_FALSE_NEGATIVES,
    LOW_FALSE_POSITIVES,
    STANDARD,
    best_threshold,
    nab_raw,
    normalised,
)
from lamina.runs.series.anomaly import AnomalyView, ranks
from lamina.tasks.anomaly.options import AlarmOptions
from lamina.tasks.anomaly.scoring import silenced, standardised

PAST, SILENCE, FALSE_ALARMS = 1000, 200, 0.001
RANDOM_SEEDS = (0, 1, 2, 3, 4)
DATA: dict[str, Any] = {
    "data": "$LAMINA_DATA/nab",
    "task": "anomaly",
    "context": 48,
    "calendar": False,
    "optimizer": "adam",
    "schedule": "cosine",
    "batch_size": 64,
    "validation": 0.1,
}
MODELS: dict[str, dict[str, Any]] = {
    "gru-forecaster": {"lr": 0.003, "epochs": 5, "model_options": {"hidden_size": 32, "normalisation": "none"}},
    "autoencoder-lstm": {"lr": 0.003, "epochs": 10, "model_options": {"hidden_size": 32, "latent": 8}},
}
BARS = {"gru-forecaster": 35.0, "autoencoder-lstm": 22.0}
Files = list[tuple[Tensor, list[tuple[int, int]]]]


def files() -> tuple[Any, list[Tensor], list[list[tuple[int, int]]]]:
    """The panel, and the values and windows of each file."""
    panel: Any = cast(Any, lamina.open_source(os.path.expandvars("$LAMINA_DATA/nab"))).splits["train"].panel
    values, windows = [], []
    for number in range(len(panel.names)):
        rows = panel.rows_of(number)
        values.append(torch.from_numpy(panel.frame["value"].to_numpy(np.float64)[rows]))
        edges = np.diff(np.concatenate([[0], panel.anomalous_R[rows].astype(int), [0]]))
        first, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        windows.append([(int(a), int(b) - 1) for a, b in zip(first, end, strict=True)])
    return panel, values, windows


def judged(scores: list[Tensor], windows: list[list[tuple[int, int]]]) -> Values:
    """Points at the best threshold of each profile."""
    profiles = {"standard": STANDARD, "low_fp": LOW_FALSE_POSITIVES, "low_fn": LOW_FALSE_NEGATIVES}
    return {name: best_threshold(scores, windows, profile).score for name, profile in profiles.items()}


def rows_judged(scores: list[Tensor], windows: list[list[tuple[int, int]]]) -> Values:
    """AUROC and average precision row by row, means over files with windows."""
    auroc, ap = [], []
    for score_N, own in zip(scores, windows, strict=True):
        label_N = torch.zeros(len(score_N), dtype=torch.long)
        for first, last in own:
            label_N[first : last + 1] = 1
        if own:
            auroc.append(float(binary_auroc(ranks(score_N), label_N)))
            ap.append(float(binary_average_precision(ranks(score_N), label_N)))
    return {"auroc": float(np.mean(auroc)), "ap": float(np.mean(ap))}


def quiet(scores: list[Tensor]) -> list[Tensor]:
    return [silenced(one, SILENCE) for one in scores]


def measured(laboratory: Laboratory, model: str, settings: Mapping[str, Any]) -> Values:
    run, seconds = laboratory.train(model, settings)
    panel, values, windows = files()
    view = AnomalyView(cast(Any, run))
    found: dict[str, list[Tensor]] = {}
    for name, options in (("raw", AlarmOptions()), ("z", AlarmOptions(standardise=PAST))):
        found[name] = [torch.full((len(one),), -math.inf, dtype=torch.float64) for one in values]
        for one in view.scored(panel, None, options):
            rows = panel.rows_of(one.series)
            found[name][one.series][torch.from_numpy(one.rows_N - rows[0])] = one.score_N
    task: Any = run.task.evaluated_with(AlarmOptions(standardise=PAST, silence=SILENCE, false_alarms=FALSE_ALARMS))
    bound, quiet_z = task.threshold(), quiet(found["z"])
    raws = [
        nab_raw((one > bound).nonzero().flatten().tolist(), own, len(one))
        for one, own in zip(quiet_z, windows, strict=True)
    ]
    free = normalised(raws, sum(map(len, windows)))
    plain = {f"plain_{name}": value for name, value in judged(found["raw"], windows).items()}
    return {
        **plain,
        **judged(quiet_z, windows),
        "label_free": free,
        **rows_judged(found["raw"], windows),
        "training": seconds,
    }


def beside_measured() -> Values:
    _, values, windows = files()
    z = [standardised(one, PAST) for one in values]
    found = {f"z_{name}": value for name, value in judged(z, windows).items()}
    found |= {f"quiet_{name}": value for name, value in judged(quiet(z), windows).items()}
    found |= rows_judged(z, windows)
    for seed in RANDOM_SEEDS:
        draw = torch.Generator().manual_seed(seed)
        noise = [torch.rand(len(one), generator=draw, dtype=torch.float64) for one in values]
        found[f"random_{seed}"] = judged(quiet(noise), windows)["standard"]
    return found


def model_rows(model: str, laboratory: Laboratory) -> Iterator[Row]:
    settings = {**DATA, **MODELS[model]}
    post = {"standardise": PAST, "silence": SILENCE, "false_alarms": FALSE_ALARMS, "threshold_of": "all training rows"}
    found = laboratory.measured(f"nab {model}", {**settings, **post}, partial(measured, laboratory, model, settings))
    plain = f"as it is: {found['plain_standard']:.1f}"
    text = f"{found['standard']:.1f} / {found['low_fp']:.1f} / {found['low_fn']:.1f} ({plain})"
    what = f"NAB, `{model}`, |z| over {PAST}, silence {SILENCE}: standard / low FP / low FN, best threshold"
    yield Row(what, text, f">= {BARS[model]:.0f} standard", found["standard"] >= BARS[model])
    what = f"NAB, `{model}`: the same with a threshold from training rows alone"
    yield Row(what, f"{found['label_free']:.1f}", ">= 15", found["label_free"] >= 15)
    bar = model == "autoencoder-lstm"
    reached = found["auroc"] >= 0.59 and found["ap"] >= 0.26 if bar else None
    what = f"NAB, `{model}`: AUROC / average precision, row by row"
    yield Row(what, f"{found['auroc']:.3f} / {found['ap']:.3f}", ">= .59 / .26" if bar else "-", reached)


def beside(laboratory: Laboratory) -> Iterator[Row]:
    found = laboratory.measured("nab beside", {"past": PAST, "silence": SILENCE}, beside_measured)
    names = ("standard", "low_fp", "low_fn")
    text = " / ".join(f"{found[f'quiet_{name}']:.1f}" for name in names)
    yield Row(
        f"NAB, |z| of the values over {PAST} rows, silence {SILENCE}", text, "33.2 / 23.0 / 38.8 with other code", None
    )
    rows = f"{found['auroc']:.3f} / {found['ap']:.3f}"
    yield Row("NAB, |z| of the values: AUROC / average precision", rows, ".542 / .208 with other code", None)
    random = [found[f"random_{seed}"] for seed in RANDOM_SEEDS]
    what = f"NAB, random scores with silence {SILENCE}, five seeds: standard, best threshold"
    yield Row(what, f"{min(random):.1f} to {max(random):.1f}", "-", None)


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "nab-beside": beside,
    **{f"nab-{model}": partial(model_rows, model) for model in MODELS},
}
