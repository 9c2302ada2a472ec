"""Simple forecasts of the embedded series: numbers worked out with other code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import lamina
from lamina.data.modality import fit_preprocess
from lamina.data.protocols import Needs
from lamina.data.series.panel import Series
from lamina.tasks.forecasting.baselines import drift, naive, seasonal_naive

STOCKS = {
    "AAPL": (15.32, 14.91),
    "AMZN": (8.04, 8.07),
    "GOOG": (32.77, 32.07),
    "IBM": (5.36, 5.38),
    "MSFT": (1.60, 1.61),
}
"""mean absolute error one month ahead over the last 30 % of the months: naive, drift"""


@pytest.mark.parametrize("name", STOCKS)
def test_stocks_one_month_ahead(name: str) -> None:
    panel = cast(Series, lamina.open_source("stocks").splits["train"]).panel
    values = torch.from_numpy(panel.frame["price"].to_numpy(np.float64)[panel.rows_of(panel.names.index(name))])
    origins = range(int(0.7 * len(values)), len(values))
    for forecast, expected in zip((naive, drift), STOCKS[name], strict=True):
        errors = [abs(float(forecast(values[:t].reshape(1, -1, 1), 1)) - float(values[t])) for t in origins]
        assert np.mean(errors) == pytest.approx(expected, abs=6e-3)


def test_the_next_day_in_seattle_over_2015() -> None:
    options = lamina.DataOptions(target="temp_max", horizon=1, context=365, rows=(730, 366, 365))
    source = lamina.open_source("seattle-weather", options=options)
    windows: Any = fit_preprocess(source, Needs(options=options)).encode(source.splits["test"])
    batch = windows.tensors
    assert len(windows) == 365
    own = {key: batch[key] * batch["std"][:, None] + batch["mean"][:, None] for key in ("past", "target")}
    for found, expected in ((naive(own["past"], 1), 2.240), (seasonal_naive(own["past"], 1, 365), 3.770)):
        assert float((own["target"] - found).abs().mean()) == pytest.approx(expected, abs=6e-4)


def test_hours_in_seattle() -> None:
    options = lamina.DataOptions(horizon=24, context=24, gaps="fill")
    source = lamina.open_source("seattle-temps", options=options)
    series = cast(Series, source.splits["train"])
    values = series.panel.frame["temp"].to_numpy(np.float64)
    found = np.abs(values[24:] - values[:-24])
    assert np.nanmean(found) == pytest.approx(0.157, abs=6e-4)


def test_a_trained_model_of_the_weather_and_no_skill_on_stocks(tmp_path: Path) -> None:
    """The maximum of the next day over 2015, naive 2.240; a model of prices that is no better than naive says so."""
    options: dict[str, Any] = {"horizon": 1, "lr": 0.01, "directory": tmp_path, "report": False}
    weather = lamina.train(
        "linear-forecaster", data="seattle-weather", target="temp_max", context=14, rows=(730, 366, 365), epochs=30,
        **options,
    )  # fmt: skip
    assert weather.evaluate()["own_mae"] <= 2.20
    stocks = lamina.train("nlinear", data="stocks", context=12, test=0.3, epochs=10, **options)
    (said,) = stocks.shortfalls("test", stocks.evaluate())
    assert "no better than naive" in said or "no skill to speak of: within 5% of naive" in said
