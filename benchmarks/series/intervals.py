"""Intervals on ETTh1: conformal ones recalibrated on the way, and the distribution of DeepAR. All settings are here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.laboratory import Laboratory, Row, Values
from benchmarks.series.etth1 import DATA, DAY, MODELS, SEEDS, Floats, L, standardised

ROLLING, LEVELS, WITHIN = "dlinear", (80, 90), 0.03
H = 24
STRIDE = 5
"""rows between the windows that both are judged on"""
DEEPAR: dict[str, Any] = {
    **DATA,
    "horizon": H,
    "calendar": True,
    "batch_size": 64,
    "lr": 0.002,
    "schedule": "cosine",
    "clip": 1.0,
    "epochs": 4,
    "objective": {"name": "likelihood", "distribution": "student-t"},
}
DEEPAR_SEEDS = (0, 1)
QUANTILES = np.arange(1, 20) / 20


def covered(laboratory: Laboratory, settings: Mapping[str, Any]) -> Values:
    run, _ = laboratory.train(ROLLING, settings)
    found = run.evaluate(level=LEVELS)
    return {name: found[name] for level in LEVELS for name in (f"coverage_{level}", f"rolling_coverage_{level}")}


def rolling(laboratory: Laboratory) -> Iterator[Row]:
    """Coverage by five seeds of the linear model."""
    found = []
    for seed in SEEDS:
        settings = {**DATA, **MODELS[ROLLING][0], "seed": seed}
        post = {**settings, "level": list(LEVELS)}
        found.append(laboratory.measured(f"coverage {ROLLING} {seed}", post, partial(covered, laboratory, settings)))
    for level in LEVELS:
        shares = [one[f"rolling_coverage_{level}"] for one in found]
        plain = statistics.fmean(one[f"coverage_{level}"] for one in found)
        far = max(abs(share - level / 100) for share in shares)
        yield Row(
            f"ETTh1, `{ROLLING}`: {level} % intervals recalibrated on the latest 720 residuals, five seeds",
            f"{min(shares):.1%} to {max(shares):.1%} covered (of validation residuals alone {plain:.1%})",
            f"{level} % within 3 points, each seed",
            far <= WITHIN,
        )


def windows(rows: Floats, first: int, last: int, stride: int) -> tuple[Floats, Floats]:
    """Pasts (W, C, L) and futures (W, C, H) whose futures lie in rows ``first`` up to ``last``."""
    cut = np.lib.stride_tricks.sliding_window_view(rows[first - L : last], L + H, axis=0)[::stride]
    return cut[..., :L], cut[..., L:]


def seasonal_naive() -> Values:
    """CRPS of the value a day before with conformal quantiles: those of the signed residuals of validation windows, by
    step and channel."""
    rows = standardised()
    past, future = windows(rows, 8640, 11520, 1)
    residual = future - past[..., -DAY:][..., :H]
    ordered = np.sort(residual, axis=0)
    rank = np.ceil((len(ordered) + 1) * QUANTILES).astype(int) - 1
    past, future = windows(rows, 11520, 14400, STRIDE)
    crps = np.zeros(())
    for quantile, offset in zip(QUANTILES, ordered[np.clip(rank, 0, len(ordered) - 1)], strict=True):
        error = future - (past[..., -DAY:][..., :H] + offset)
        crps = crps + 2 * np.maximum(quantile * error, (quantile - 1) * error).mean() / len(QUANTILES)
    return {"crps": float(crps), "windows": len(past)}


def drawn(laboratory: Laboratory, settings: Mapping[str, Any]) -> Values:
    run, seconds = laboratory.train("deepar", settings)
    found = run.evaluate(stride=STRIDE)
    names = ("crps", "mae", "mse", "seasonal_naive_mae", "coverage_80", "coverage_90")
    return {**{name: found[name] for name in names}, "training": seconds}


def deepar(laboratory: Laboratory) -> Iterator[Row]:
    """The CRPS of sample paths against that of seasonal naive."""
    beside = laboratory.measured(
        "deepar beside", {"L": L, "H": H, "stride": STRIDE, "rows": DATA["rows"]}, seasonal_naive
    )
    found = []
    for seed in DEEPAR_SEEDS:
        settings = {**DEEPAR, "seed": seed}
        post = {**settings, "stride": STRIDE}
        found.append(laboratory.measured(f"deepar {seed}", post, partial(drawn, laboratory, settings)))
    crps = statistics.fmean(one["crps"] for one in found)
    text = f"{crps:.4f} (MAE {statistics.fmean(one['mae'] for one in found):.4f}, 80 % covers "
    text += f"{statistics.fmean(one['coverage_80'] for one in found):.0%})"
    bar = f"< {beside['crps']:.4f}, seasonal naive with conformal quantiles"
    yield Row(f"ETTh1, H = {H}, `deepar`: CRPS, {len(DEEPAR_SEEDS)} seeds", text, bar, crps < beside["crps"])


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {"etth1-coverage": rolling, "etth1-deepar": deepar}
