"""Losses, scores, intervals and simple forecasts, against numbers by hand and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lamina
from lamina.data.modality import fit_preprocess
from lamina.data.protocols import Needs
from lamina.equations import forecasting as equations
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.tasks.base import EngineAtRest
from lamina.tasks.forecasting.baselines import LeastSquares, drift, seasonal_mean
from lamina.tasks.forecasting.conformal import (
    conformal_quantile,
    fitted_quantiles,
    radius,
    rolling_intervals,
)
from lamina.tasks.forecasting.metrics import levels_of, pinball, seasonal_naive
from lamina.tasks.forecasting.scores import Truth, coverage, crps, scores
from lamina.tasks.forecasting.task import KIND, Forecasting
from lamina.tasks.kind import TaskSetup


def truth(target: torch.Tensor, **other: Any) -> Truth:
    """Windows of one series in units of deviation 1 and mean 0."""
    n, _, c = target.shape
    given = {
        "seen_NHC": torch.ones_like(target, dtype=torch.bool), "series_N": torch.zeros(n, dtype=torch.int64),
        "origin_N": torch.arange(n), "std_NC": torch.ones(n, c), "mean_NC": torch.zeros(n, c),
        "scale_NC": torch.ones(n, c), **other,
    }  # fmt: skip
    return Truth(target, **given)


def preprocess(values: Any = None) -> Any:
    values = np.arange(60.0) if values is None else values
    times = pd.date_range("2020-01-01", periods=len(values)).strftime("%Y-%m-%d")
    options = lamina.DataOptions(time="date", context=8, horizon=3)
    source = lamina.open_source(pd.DataFrame({"date": times, "y": values}), options=options)
    return fit_preprocess(source, Needs(options=options)), source


class Last(nn.Module):
    """The last value again, plus a learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, past: torch.Tensor) -> torch.Tensor:
        return past[:, -1:].expand(-1, 3, -1) + self.bias


def test_scores_of_an_example_by_hand() -> None:
    target = torch.tensor([[[2.0], [4.0]], [[0.0], [-1.0]]])
    forecast = torch.tensor([[[3.0], [4.0]], [[0.0], [1.0]]])
    of = truth(target, std_NC=torch.full((2, 1), 10.0), mean_NC=torch.zeros(2, 1), scale_NC=torch.full((2, 1), 5.0))
    found = scores(of, forecast)
    assert found["mse"] == pytest.approx(5 / 4)
    assert found["mae"] == pytest.approx(3 / 4)
    assert found["own_mae"] == pytest.approx(7.5)
    assert found["own_rmse"] == pytest.approx(10 * math.sqrt(5 / 4))
    assert found["mase"] == pytest.approx(7.5 / 5)
    assert found["smape"] == pytest.approx(200 / 4 * (1 / 5 + 0 + 0 + 2 / 2))  # 0/0 is 0


def test_mase_is_the_mean_over_series_that_have_a_naive_error() -> None:
    target = torch.zeros(3, 1, 1)
    scale = torch.tensor([[1.0], [4.0], [math.nan]])
    of = truth(target, series_N=torch.tensor([0, 1, 2]), scale_NC=scale)
    assert scores(of, torch.full_like(target, 2.0))["mase"] == pytest.approx((2 / 1 + 2 / 4) / 2)
    nothing = truth(target, scale_NC=torch.full((3, 1), math.nan))
    assert "mase" not in scores(nothing, torch.ones_like(target))


def test_values_that_are_missing_do_not_count() -> None:
    target = torch.tensor([[[1.0], [99.0]]])
    seen = torch.tensor([[[True], [False]]])
    assert scores(truth(target, seen_NHC=seen), torch.zeros_like(target))["mae"] == 1.0
    lower, upper = torch.zeros_like(target), torch.full_like(target, 2.0)
    assert coverage(truth(target, seen_NHC=seen), lower, upper) == (1.0, 2.0, 2.0)


def test_crps_of_one_number_is_its_absolute_error() -> None:
    target = torch.randn(20, 4, 2)
    forecast = torch.randn(20, 4, 2)
    found = crps(truth(target), forecast[..., None].expand(-1, -1, -1, 19))
    assert found == pytest.approx(float((target - forecast).abs().mean()), rel=1e-6)
    assert levels_of(19) == pytest.approx([k / 20 for k in range(1, 20)])


def test_pinball_is_the_equation() -> None:
    target, quantiles = torch.randn(30, 2, 1).double(), torch.randn(30, 2, 1, 9).double()
    each = pinball(target, quantiles)
    for k, level in enumerate(levels_of(9)):
        plain = torch.maximum(level * (target - quantiles[..., k]), (level - 1) * (target - quantiles[..., k]))
        torch.testing.assert_close(each[..., k], plain)
    assert hasattr(equations, "pinball")


@pytest.mark.parametrize(
    ("count", "level", "expected"), [(9, 0.8, 8.0), (9, 0.9, 9.0), (99, 0.9, 90.0), (8, 0.9, math.inf)]
)
def test_the_conformal_quantile_is_a_rank(count: int, level: float, expected: float) -> None:
    residuals = torch.arange(1.0, count + 1)[torch.randperm(count)].reshape(-1, 1, 1)
    assert conformal_quantile(residuals, level).item() == expected
    assert fitted_quantiles(residuals)[round(100 * level) - 1].item() == expected


def test_missing_residuals_are_left_out_of_the_rank() -> None:
    residuals = torch.tensor([1.0, math.nan, 2.0, 3.0, 4.0]).reshape(-1, 1, 1)
    assert conformal_quantile(residuals, 0.8).item() == 4.0
    with pytest.raises(
        UsageError, match="too few validation windows for intervals of 90 %: levels they allow: up to 80"
    ):
        radius(fitted_quantiles(residuals), 90)


def test_split_conformal_covers_exchangeable_values() -> None:
    draw = torch.Generator().manual_seed(0)
    residuals, new = (torch.randn(2000, 1, 1, generator=draw) for _ in range(2))
    for level in (0.5, 0.8, 0.9):
        inside = (new.abs() <= conformal_quantile(residuals, level)).float().mean()
        assert abs(float(inside) - level) < 0.03


def test_rolling_intervals_use_residuals_that_are_complete() -> None:
    """A plant in a residual changes only intervals of origins a horizon later."""
    draw = torch.Generator().manual_seed(0)
    target, y = (torch.randn(60, 3, 1, generator=draw) for _ in range(2))
    seen, origin = torch.ones_like(target, dtype=torch.bool), torch.arange(100, 160)
    before = (torch.rand(50, 3, 1, generator=draw), torch.arange(50, 100))

    def made(target: torch.Tensor) -> torch.Tensor:
        return rolling_intervals(y, target, seen, origin, before, 0.9, every=1, memory=40)

    planted = target.clone()
    planted[20] = 1e3
    changed = (made(planted) != made(target)).flatten(1).any(1).nonzero()[:, 0]
    assert int(changed.min()) >= 23
    assert int(changed.max()) < 23 + 40


def test_simple_forecasts_against_loops() -> None:
    past = torch.randn(4, 20, 2).double()
    for season in (1, 3, 7):
        plain = torch.stack([past[:, 20 + h - season * math.ceil(h / season) - 1] for h in range(1, 10)], 1)
        torch.testing.assert_close(seasonal_naive(past, 9, season), plain)
    torch.testing.assert_close(drift(past, 3)[:, 2], past[:, -1] + 3 * (past[:, -1] - past[:, 0]) / 19)
    profile = seasonal_mean(past, 9, 3)
    phase = [past[:, [20 - 18 + p + 3 * k for k in range(6)]].mean(1) for p in range(3)]
    torch.testing.assert_close(profile, torch.stack([phase[h % 3] for h in range(9)], 1))


def test_least_squares_is_that_of_linalg() -> None:
    past, target = torch.randn(200, 6, 2), torch.randn(200, 3, 2)
    fit = LeastSquares(6, 3)
    fit.add(past[:90], target[:90])
    fit.add(past[90:], target[90:])
    x = past.transpose(1, 2).reshape(-1, 6).double()
    x = torch.cat([x, torch.ones(len(x), 1).double()], 1)
    weight = torch.linalg.lstsq(x, target.transpose(1, 2).reshape(-1, 3).double()).solution
    expected = (x @ weight).reshape(200, 2, 3).transpose(1, 2)
    torch.testing.assert_close(fit(past).double(), expected, atol=1e-5, rtol=1e-5)


def test_missing_targets_are_masked_in_every_loss() -> None:
    values = np.sin(np.arange(60.0))
    values[[10, 11]] = np.nan
    found, source = preprocess(values)
    batch = found.encode(source.splits["train"]).tensors
    seen = batch["observed"]
    assert not seen.all()
    for name, cost in {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}.items():
        task: Any = KIND.make(TaskSetup(preprocess=found, recipe=Recipe(), objective=KIND.objective(name)))
        loss, _ = task.loss(Last(), batch, EngineAtRest())
        expected = cost(batch["past"][:, -1:].expand(-1, 3, -1)[seen], batch["target"][seen])
        torch.testing.assert_close(loss, expected)


def test_metrics_of_training_count_every_window_once() -> None:
    found, source = preprocess(np.sin(np.arange(200.0)))
    task, windows = Forecasting(found), found.encode(source.splits["train"])
    metrics = task.metrics()
    for block in torch.split(torch.arange(len(windows)), 7):
        task.evaluate_step(Last(), windows.take(block), metrics)
    whole = windows.tensors
    error = whole["past"][:, -1:] - whole["target"]
    of = metrics.compute()
    assert float(of["mse"]) == pytest.approx(float(error.square().mean()), rel=1e-5)
    naive = seasonal_naive(whole["past"], 3, 7) - whole["target"]
    assert float(of["baseline_mae"]) == pytest.approx(float(naive.abs().mean()), rel=1e-5)


def test_a_model_within_five_per_cent_of_a_simple_forecast_has_no_skill() -> None:
    task = Forecasting(preprocess()[0])
    near = {"mse": 0.98, "mae": 0.97, "naive_mse": 1.0, "naive_mae": 1.0}
    assert "no skill to speak of: within 5%" in str(task.shortfall(near))
    assert "no better than naive" in str(task.shortfall({**near, "mse": 1.2, "mae": 1.1}))
    assert task.shortfall({**near, "mae": 0.9}) is None
