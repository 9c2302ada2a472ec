"""Forecasting on the command line: train, data, evaluate, predict, inspect."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Called = Callable[..., tuple[int, str, str]]


def sales(folder: Path, rows: int = 200) -> Path:
    draw = np.random.default_rng(0)
    times = pd.date_range("2020-01-01", periods=rows, freq="B").strftime("%d/%m/%Y")
    values = 20 + 5 * np.sin(np.arange(rows) * 2 * np.pi / 5) + draw.normal(size=rows)
    path = folder / f"sales{rows}.csv"
    pd.DataFrame({"day": times, "sold": values.round(2), "promotion": np.arange(rows) % 10 // 9}).to_csv(
        path, index=False
    )
    return path


@pytest.fixture
def trained(lamina: Called, tmp_path: Path) -> Path:
    file = sales(tmp_path)
    words = ("--data", file, "--time", "day", "--target", "sold", "--horizon", 10, "--context", 20, "--epochs", 2)
    status, out, err = lamina("train", "dlinear", *words, "--name", "sold", "--quiet")
    assert status == 0, err
    assert "divided by time" in err
    assert "report:" in out
    return tmp_path / "runs" / "sold"


def test_a_history_is_forecast_with_the_business_days_due(trained: Path, lamina: Called, tmp_path: Path) -> None:
    status, out, _ = lamina("predict", "sold", "--level", "80,90", "--out", "f.csv", "--plot", "f.png")
    assert status == 0
    assert "wrote 10 predictions" in out
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = pd.date_range("2020-01-01", periods=210, freq="B")[-10:].strftime("%Y-%m-%d")
    assert [row["day"] for row in rows] == list(expected)
    assert float(rows[0]["sold_lower_90"]) < float(rows[0]["sold_lower_80"]) < float(rows[0]["sold"])
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = lamina("predict", "sold", sales(tmp_path, 230), "--json")
    assert status == 0
    assert json.loads(out)[0]["day"] == pd.date_range("2020-01-01", periods=231, freq="B")[-1].strftime("%Y-%m-%d")


def test_evaluation_prints_what_stands_beside(trained: Path, lamina: Called) -> None:
    status, out, err = lamina("evaluate", "sold", "--per", "step", "--stride", "2")
    assert status == 0, err
    for words in ("seasonal naive", "seasonal mean", "least squares", "skill MAE %", "MAE by step", "step 10", "mase"):
        assert words in out
    found = json.loads(lamina("evaluate", "sold", "--json")[1])["metrics"]
    assert {"naive_mae", "least_squares_mse", "coverage_80", "step 1_mae"} - set(found) == {"step 1_mae"}


def test_inspect_takes_a_history(trained: Path, lamina: Called, tmp_path: Path) -> None:
    status, _out, _ = lamina("inspect", "sold", "--history", tmp_path / "sales200.csv", "--out", "seen")
    assert status == 0
    assert {path.name for path in (tmp_path / "seen").iterdir()} >= {"inspect.html", "forecast.png", "importance.png"}


def test_misuse_is_one_line(trained: Path, lamina: Called, tmp_path: Path) -> None:
    file = tmp_path / "sales200.csv"
    for words, status, says in (
        (("predict", "sold", "none.csv"), 2, "no such file: none.csv"),
        (("predict", "sold", "--samples", "3"), 2, "samples are drawn from a distribution"),
        (("predict", "sold", "--level", "0"), 2, "level must lie between 1 and 99"),
        (("predict", "sold", "--plot", "f.jpg"), 2, "must end in .png"),
        (("evaluate", "sold", "--per", "week"), 2, "--per"),
        (("evaluate", "sold", "--crops", "10"), 2, "--crops is for"),
        (("train", "dlinear", "--data", file, "--time", "sold"), 1, "column 'sold' holds"),
        (("train", "dlinear", "--data", file, "--time", "when"), 2, "unknown time column 'when'"),
        (("train", "dlinear", "--data", file, "--horizon", "90"), 1, "horizon 90"),
        (("train", "mlp", "--data", file, "--time", "day"), 2, "mlp takes table or image data"),
        (("train", "lenet5", "--data", "digits", "--horizon", "4"), 2, "horizon (--horizon) is for series"),
    ):
        called = lamina(*words)
        assert called[0] == status, called
        assert called[2].count("\n") == 1 or "note:" in called[2], called
        assert says in called[2], called


def test_a_model_of_series_makes_a_table_a_series_and_others_say_that_they_divide_at_random(
    lamina: Called, tmp_path: Path
) -> None:
    file = sales(tmp_path)
    status, out, err = lamina(
        "train", "linear-forecaster", "--data", file, "--context", "20", "--horizon", "5", "--dry-run"
    )
    assert status == 0, err
    assert "forecasting" in out
    _, _, err = lamina("train", "mlp", "--data", file, "--target", "sold", "--dry-run")
    assert "at random, although 'day' holds dates" in err
