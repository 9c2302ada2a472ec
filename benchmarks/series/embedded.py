"""The embedded series: tomorrow's maximum in Seattle, and shares, which nobody forecasts. All settings are here.

The settings of seattle-weather were chosen on 2014, trained on 2012 and 2013; 2015 was not looked at.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from benchmarks.laboratory import Laboratory, Row, Values

SEEDS = (0, 1, 2, 3, 4)
WEATHER: dict[str, Any] = {
    "data": "seattle-weather",
    "target": "temp_max",
    "rows": [912, 184, 365],
    "horizon": 1,
    "objective": "mae",
    "optimizer": "adamw",
    "schedule": "cosine",
    "batch_size": 32,
}
WEATHER_MODELS: dict[str, dict[str, Any]] = {
    "mlp-forecaster": {
        "context": 14,
        "lr": 0.003,
        "epochs": 40,
        "weight_decay": 0.1,
        "model_options": {"hidden": [64], "dropout": 0.3},
    },
    "gru-forecaster": {
        "context": 14,
        "lr": 0.003,
        "epochs": 30,
        "weight_decay": 0.1,
        "model_options": {"hidden_size": 32, "normalisation": "none"},
    },
}
NAIVE, WEATHER_BAR = 2.240, 2.20
STOCKS: dict[str, Any] = {
    "data": "stocks",
    "target": "price",
    "horizon": 1,
    "context": 12,
    "optimizer": "adam",
    "schedule": "cosine",
    "batch_size": 32,
    "lr": 0.003,
    "epochs": 20,
    "seed": 0,
}
STOCK_MODELS: dict[str, dict[str, Any]] = {
    "linear-forecaster": {},
    "mlp-forecaster": {"model_options": {"hidden": [32]}},
    "gru-forecaster": {"model_options": {"hidden_size": 16}},
}
LEAST = 0.95
"""of the best of what stands beside: an error above this share of it is no skill"""


def weather_measured(laboratory: Laboratory, model: str, settings: Mapping[str, Any]) -> Values:
    run, seconds = laboratory.train(model, settings)
    found = run.evaluate("test")
    std = run.preprocess.stds[0][0]  # type: ignore[attr-defined]
    beside = {name: found[f"{name}_mae"] * std for name in ("naive", "least_squares")}
    return {"mae": found["own_mae"], **beside, "training": seconds}


def weather(model: str, laboratory: Laboratory) -> Iterator[Row]:
    """One model over the seeds."""
    found = []
    for seed in SEEDS:
        settings = {**WEATHER, **WEATHER_MODELS[model], "seed": seed}
        measure = partial(weather_measured, laboratory, model, settings)
        found.append(laboratory.measured(f"weather {model} {seed}", settings, measure))
    mae = [one["mae"] for one in found]
    naive, least = (found[0][name] for name in ("naive", "least_squares"))
    yield Row(
        f"seattle-weather, `{model}`: MAE of tomorrow's maximum over 2015, five seeds",
        f"{statistics.fmean(mae):.3f} ± {statistics.stdev(mae):.3f} (naive {naive:.3f}, least squares {least:.3f})",
        f"<= {WEATHER_BAR:.2f}",
        statistics.fmean(mae) <= WEATHER_BAR and abs(naive - NAIVE) < 0.005,
    )


def stocks_measured(laboratory: Laboratory, model: str, settings: Mapping[str, Any]) -> Values:
    run, _ = laboratory.train(model, settings)
    found = run.evaluate("test")
    said = run.task.shortfall(found)
    return {
        **{name: found[name] for name in ("mae", "mse", "naive_mae", "naive_mse")},
        "no_skill": float(said is not None),
    }


def stocks(laboratory: Laboratory) -> Iterator[Row]:
    """Whether ``evaluate`` says that there is no skill."""
    for model, options in STOCK_MODELS.items():
        settings = {**STOCKS, **options}
        found = laboratory.measured(f"stocks {model}", settings, partial(stocks_measured, laboratory, model, settings))
        share = min(found["mae"] / found["naive_mae"], found["mse"] / found["naive_mse"])
        skill = "none" if found["no_skill"] else "some"
        yield Row(
            f"stocks, `{model}`: error over that of the last value, a month ahead, and what skill evaluate finds",
            f"{share:.3f}, {skill}",
            f"none above {LEAST}",
            bool(found["no_skill"]) if share > LEAST else None,
        )


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    **{f"weather-{model}": partial(weather, model) for model in WEATHER_MODELS},
    "stocks": stocks,
}
