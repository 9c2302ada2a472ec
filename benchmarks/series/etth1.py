"""ETTh1 under the usual protocol. All settings are here.

Legend: W windows, L context, H horizon, C channels.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.laboratory import Laboratory, Row, Values

Floats = NDArray[np.float64]
TARGETS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
L, H, DAY = 96, 96, 24
SEEDS = (0, 1, 2, 3, 4)


def falling(epochs: int, factor: float) -> dict[str, Any]:
    """The rate is multiplied by a factor after each epoch."""
    milestones = [round(epoch / epochs, 6) for epoch in range(1, epochs)]
    return {"epochs": epochs, "schedule": "step", "gamma": factor, "milestones": milestones}


DATA: dict[str, Any] = {
    "data": "$LAMINA_DATA/etth1/ETTh1.csv",
    "time": "date",
    "target": list(TARGETS),
    "rows": [8640, 2880, 2880],
    "context": L,
    "horizon": H,
    "calendar": False,
    "optimizer": "adam",
    "batch_size": 32,
    "patience": 3,
}
REVIN = {"normalisation": "revin"}
MODELS: dict[str, tuple[dict[str, Any], tuple[float, float | None]]] = {
    # options beside DATA, and the bars of MSE and MAE
    "dlinear": ({"lr": 0.005, **falling(10, 0.5)}, (0.388, 0.402)),
    "nbeats": (
        {"lr": 0.001, "model_options": {"blocks": 3, "hidden_size": 128, **REVIN}, **falling(8, 0.5)},
        (0.386, 0.404),
    ),
    "patchtst": ({"lr": 0.002, **falling(6, 0.8)}, (0.386, 0.404)),
    "tcn": ({"lr": 0.002, **falling(8, 0.7)}, (0.455, None)),
    "gru-forecaster": ({"lr": 0.001, **falling(5, 0.5)}, (0.45, 0.455)),
}
MINUTES = 3
BESIDE = {"seasonal naive": (0.5122, 0.4333), "seasonal mean": (0.4059, 0.3963), "least squares": (0.3815, 0.3930)}
"""what the closed forms must give, else the protocol is another"""


def standardised() -> Floats:
    """The values in standard deviations of the training rows."""
    table = pd.read_csv(os.path.expandvars("$LAMINA_DATA/etth1/ETTh1.csv"))[list(TARGETS)].to_numpy(np.float64)
    train = table[:8640]
    whole: Floats = (table - train.mean(0)) / train.std(0)
    return whole


def windows(rows: Floats, first: int, last: int) -> tuple[Floats, Floats]:
    """Pasts (W, C, L) and futures (W, C, H) whose futures lie in rows ``first`` up to ``last``."""
    cut = np.lib.stride_tricks.sliding_window_view(rows[max(0, first - L) : last], L + H, axis=0)
    return cut[..., :L], cut[..., L:]


def closed_forms() -> dict[str, Callable[[Floats], Floats]]:
    rows = standardised()
    past, future = windows(rows, 0, 8640)
    flat = np.concatenate([past.reshape(-1, L), np.ones((past.shape[0] * past.shape[1], 1))], 1)
    matrix = np.linalg.solve(flat.T @ flat, flat.T @ future.reshape(-1, H))
    return {
        "seasonal naive": lambda x: np.tile(x[..., -DAY:], H // DAY),
        "seasonal mean": lambda x: np.tile(x.reshape(*x.shape[:-1], -1, DAY).mean(-2), H // DAY),
        "least squares": lambda x: x @ matrix[:-1] + matrix[-1],
    }


def closed(name: str) -> Values:
    past, future = windows(standardised(), 11520, 14400)
    error = closed_forms()[name](past) - future
    return {"mse": float((error**2).mean()), "mae": float(np.abs(error).mean()), "windows": len(past)}


def measured(laboratory: Laboratory, model: str, settings: Mapping[str, Any]) -> Values:
    run, seconds = laboratory.train(model, settings)
    found = run.evaluate()
    return {"mse": found["mse"], "mae": found["mae"], "training": seconds}


def over_seeds(model: str, laboratory: Laboratory) -> list[Values]:
    found = []
    for seed in SEEDS:
        settings = {**DATA, **MODELS[model][0], "seed": seed}
        found.append(
            laboratory.measured(f"etth1 {model} {seed}", settings, partial(measured, laboratory, model, settings))
        )
    return found


def linear_or_transformer(laboratory: Laboratory) -> Iterator[Row]:
    """The statement that linear maps beat small transformers (Zeng et al., AAAI 2023), of those that are here."""
    settings = {"L": L, "H": H, "rows": DATA["rows"]}
    least = laboratory.measured("etth1 least squares", settings, partial(closed, "least squares"))["mse"]
    mse = {model: [one["mse"] for one in over_seeds(model, laboratory)] for model in ("dlinear", "patchtst")}
    text = f"least squares {least:.4f}; " + "; ".join(
        f"{model} {statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}" for model, values in mse.items()
    )
    worse = statistics.fmean(mse["patchtst"]) > statistics.fmean(mse["dlinear"])
    yield Row("ETTh1: a linear map beats a small transformer, MSE", text, "a claim: no bar of ours", worse)


def etth1(model: str, laboratory: Laboratory) -> Iterator[Row]:
    """One model over the seeds."""
    mse_bar, mae_bar = MODELS[model][1]
    found = over_seeds(model, laboratory)
    mse, mae = ([one[name] for one in found] for name in ("mse", "mae"))
    longest = max(one["training"] for one in found) / 60
    mean_mse, mean_mae = statistics.fmean(mse), statistics.fmean(mae)
    text = f"{mean_mse:.4f} ± {statistics.stdev(mse):.4f} / {mean_mae:.4f} ± {statistics.stdev(mae):.4f}"
    bar = f"<= {mse_bar}" + (f"/{mae_bar}" if mae_bar else "") + f" in {MINUTES} CPU minutes"
    reached = mean_mse <= mse_bar and (mae_bar is None or mean_mae <= mae_bar) and longest <= MINUTES
    yield Row(f"ETTh1, `{model}`: MSE / MAE, five seeds", f"{text}, at most {longest:.1f} CPU minutes", bar, reached)


CALENDARS: dict[str, bool | None] = {"none": False, "what comes again": None, "all": True}


def calendars(laboratory: Laboratory) -> Iterator[Row]:
    """The calendar as inputs: none, those parts that the training rows hold twice (the default), all."""
    options, mse = MODELS["gru-forecaster"][0], {}
    for name, wanted in CALENDARS.items():
        settings = {key: value for key, value in {**DATA, **options, "seed": 0}.items() if key != "calendar"}
        settings |= {} if wanted is None else {"calendar": wanted}
        measure = partial(measured, laboratory, "gru-forecaster", settings)
        mse[name] = laboratory.measured(f"etth1 calendar {name}", settings, measure)["mse"]
    text = ", ".join(f"{name} {value:.4f}" for name, value in mse.items())
    yield Row("ETTh1, `gru-forecaster` by calendar inputs: MSE, one seed", text, "-", None)


def beside(laboratory: Laboratory) -> Iterator[Row]:
    """The closed forms."""
    for name, (mse, mae) in BESIDE.items():
        settings = {"L": L, "H": H, "rows": DATA["rows"]}
        found = laboratory.measured(f"etth1 {name}", settings, partial(closed, name))
        text = f"{found['mse']:.4f} / {found['mae']:.4f} over {found['windows']:,.0f} windows"
        reached = abs(found["mse"] - mse) < 2e-4 and abs(found["mae"] - mae) < 2e-4
        yield Row(f"ETTh1, {name}: MSE / MAE", text, f"{mse} / {mae}, the protocol's", reached)


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "etth1-closed-forms": beside,
    "etth1-calendar": calendars,
    **{f"etth1-{model}": partial(etth1, model) for model in MODELS},
    "etth1-linear-or-transformer": linear_or_transformer,
}
