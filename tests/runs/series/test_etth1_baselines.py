"""The forecasts beside every model, on ETTh1 by its protocol: numbers worked out with other code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import lamina
from lamina.data.modality import fit_preprocess
from lamina.data.protocols import Needs
from lamina.runs.series.backtest import baselines, strided
from lamina.tasks.forecasting.baselines import seasonal_mean
from lamina.tasks.forecasting.scores import Truth, crps, scores

FILE = Path(os.environ.get("LAMINA_DATA", "/nowhere")) / "etth1/ETTh1.csv"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="LAMINA_DATA has no ETTh1")


@pytest.fixture(scope="module")
def source() -> Any:
    return lamina.open_source(str(FILE), options=lamina.DataOptions(task="forecasting", rows=(8640, 2880, 2880)))


def judged(source: Any, context: int, horizon: int, stride: int = 1) -> tuple[Truth, dict[str, torch.Tensor]]:
    preprocess = fit_preprocess(source, Needs(options=lamina.DataOptions(context=context, horizon=horizon)))
    test, train = source.splits["test"], source.splits["train"]
    windows = strided(preprocess.encode(test), test, stride)
    batch = windows.tensors
    seen = torch.ones_like(batch["target"], dtype=torch.bool)
    series = torch.zeros(len(seen), dtype=torch.int64)
    units = (batch["std"], batch["mean"], batch["scale"])
    truth = Truth(batch["target"], seen, series, batch["origin"], *units)
    return truth, baselines(preprocess, windows, test, train)


def test_horizon_96(source: Any) -> None:
    truth, found = judged(source, 96, 96)
    expected = {
        "naive": (1.2944, 0.7132),
        "seasonal naive": (0.5122, 0.4333),
        "seasonal mean": (0.4059, 0.3963),
        "least squares": (0.3815, 0.3930),
    }
    for name, numbers in expected.items():
        of = scores(truth, found[name])
        assert (of["mse"], of["mae"]) == pytest.approx(numbers, abs=6e-5), name
    assert scores(truth, found["least squares"])["mase"] == pytest.approx(0.955, abs=6e-4)
    assert scores(truth, found["seasonal naive"])["mase"] == pytest.approx(1.050, abs=6e-4)
    one_number = found["seasonal naive"][..., None].expand(-1, -1, -1, 19)
    assert crps(truth, one_number) == pytest.approx(scores(truth, found["seasonal naive"])["mae"], abs=1e-6)


def test_horizon_24_and_a_longer_context(source: Any) -> None:
    truth, found = judged(source, 96, 24)
    for name, numbers in {
        "naive": (1.2220, 0.6706), "seasonal naive": (0.4244, 0.3892), "seasonal mean": (0.3385, 0.3619),
    }.items():  # fmt: skip
        of = scores(truth, found[name])
        assert (of["mse"], of["mae"]) == pytest.approx(numbers, abs=6e-5), name
    truth, found = judged(source, 336, 96)
    of = scores(truth, found["least squares"])
    assert (of["mse"], of["mae"]) == pytest.approx((0.3702, 0.3915), abs=6e-5)


def test_strides_and_what_a_dropped_last_batch_would_change(source: Any) -> None:
    truth, found = judged(source, 96, 96)
    y = found["least squares"]
    for batch, expected in ((128, 0.3788), (512, 0.3778)):
        kept = torch.arange(len(truth) // batch * batch)
        assert scores(truth.at(kept), y[kept])["mse"] == pytest.approx(expected, abs=6e-5)
    for stride, expected in ((24, 0.3812), (96, 0.3838)):
        strided_truth, strided_found = judged(source, 96, 96, stride)
        assert scores(strided_truth, strided_found["least squares"])["mse"] == pytest.approx(expected, abs=6e-5)


def test_four_seasons_are_the_mean_that_the_context_holds() -> None:
    past = torch.arange(192.0).reshape(1, 192, 1)
    assert torch.equal(seasonal_mean(past, 30, 24, seasons=4), seasonal_mean(past[:, 96:], 30, 24))
