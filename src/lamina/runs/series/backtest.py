"""A rolling origin over a split: forecasts of every window, baselines beside them, coverage of intervals.

Legend: N windows, L context, H horizon, C channels, Q quantiles, I levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina.data.series.panel import Series
from lamina.data.series.windows import Windows, window_starts
from lamina.runs.evaluation import like, seeded
from lamina.tasks.forecasting.baselines import LeastSquares, naive, seasonal_mean, seasonal_naive
from lamina.tasks.forecasting.conformal import rolling_intervals
from lamina.tasks.forecasting.scores import Truth, coverage, crps, scores

AT_ONCE = 512
CRPS_LEVELS = tuple(range(90, 0, -10))
"""levels of intervals whose ends, with the median, are the 19 quantiles 0.05 ... 0.95"""


@dataclass(frozen=True)
class Backtest:
    """Forecasts of the windows of a split, in standard deviations of training."""

    truth: Truth
    methods: Mapping[str, Tensor]
    """(N, H, C) by name, the model first"""
    quantiles_NHCQ: Tensor | None
    """19 quantiles of the model; None without intervals"""
    intervals: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """lower and upper ends by level in per cent"""
    rolling: Mapping[int, Tensor] = field(default_factory=dict)
    """half widths (N, H, C) recalibrated on the way, by level"""


MODEL = "model"


def backtest(
    run: Any, split: Series, train: Series | None, stride: int, levels: tuple[int, ...], validation: Series | None
) -> Backtest:
    """Forecasts of ``run``, an opened one, for the windows of a split whose origins are ``stride`` rows apart. Least
    squares are fitted on ``train``; ``validation`` gives the residuals before the split."""
    windows = strided(run.preprocess.encode(split), split, stride)
    found = forecasts(run.task, run.model, windows, levels, run.config.recipe.seed)
    methods = {MODEL: found.y, **baselines(run.preprocess, windows, split, train)}
    result = Backtest(found.truth, methods, found.quantiles, found.intervals)
    if validation is None or not found.symmetric:
        return result
    before = forecasts(run.task, run.model, run.preprocess.encode(validation), (), run.config.recipe.seed)
    return replace(result, rolling=_rolling(result, before, levels, run.preprocess.season))


def strided(windows: Windows, split: Series, stride: int) -> Windows:
    """The windows whose origins are ``stride`` rows apart, from the first of each part on."""
    if stride == 1:
        return windows
    starts = windows.starts_W
    part = torch.searchsorted(torch.from_numpy(split.panel.borders), starts, right=True)
    first = torch.cat([torch.ones(1, dtype=torch.bool), part[1:] != part[:-1]])
    begins = starts[first][first.cumsum(0) - 1]
    return windows.at(torch.nonzero((starts - begins) % stride == 0)[:, 0])


@dataclass(frozen=True)
class Forecasts:
    """What a model forecasts for windows, in standard deviations."""

    truth: Truth
    y: Tensor
    quantiles: Tensor | None
    intervals: Mapping[int, tuple[Tensor, Tensor]]
    symmetric: bool
    """whether intervals come from residuals"""


def forecasts(task: Any, model: nn.Module, windows: Windows, levels: tuple[int, ...], seed: int) -> Forecasts:
    """The forecasts of all windows. Raises UsageError for levels that the task cannot give."""
    asked = replace(task.options, level=levels, samples=None)
    every = replace(task.options, level=tuple(sorted({*levels, *CRPS_LEVELS})), samples=None)
    task, wide = task.predicted_with(asked), task.predicted_with(replace(asked, level=()))
    reachable = tuple(level for level in every.level if wide.reaches(level))
    wide.options = replace(every, level=reachable)
    parts: dict[str, list[Tensor]] = {}
    for number, block in enumerate(torch.split(torch.arange(len(windows)), AT_ONCE)):
        batch = windows.take(block)
        with seeded(model, seed, number):
            given = like(model, batch)
            y = task.point(task.outputs(model, given).float())
            ends = wide.ends(model, given)
        std, mean = batch["std"][:, None], batch["mean"][:, None]
        own = (1.0, 0.0) if task.preprocess.standardised else (std, mean)

        def standard(value: Tensor, own: Any = own) -> Tensor:
            moved: Tensor = ((value.float() - own[1]) / own[0]).cpu()
            return moved

        rows = {"y": standard(y), "target": standard(batch["target"]), "origin": batch["origin"]}
        rows |= {name: batch[name] for name in ("std", "mean", "scale")}
        rows["seen"] = batch.get("observed", torch.ones_like(batch["target"], dtype=torch.bool))
        rows["series"] = cast(Tensor, windows.series_R)[batch["origin"]]
        for level, (low, high) in zip(reachable, ends, strict=True):
            rows |= {f"low{level}": standard(low), f"high{level}": standard(high)}
        for name, value in rows.items():
            parts.setdefault(name, []).append(value)
    of = {name: torch.cat(values) for name, values in parts.items()}
    truth = Truth(of["target"], of["seen"], of["series"], of["origin"], of["std"], of["mean"], of["scale"])
    quantiles = None
    if set(CRPS_LEVELS) <= set(reachable):
        lows = [of[f"low{level}"] for level in CRPS_LEVELS]
        highs = [of[f"high{level}"] for level in reversed(CRPS_LEVELS)]
        quantiles = torch.stack([*lows, of["y"], *highs], -1)
    intervals = {level: (of[f"low{level}"], of[f"high{level}"]) for level in levels if level in reachable}
    return Forecasts(truth, of["y"], quantiles, intervals, task.symmetric)


def baselines(preprocess: Any, windows: Windows, split: Series, train: Series | None) -> dict[str, Tensor]:
    """The forecasts (N, H, C) of naive, seasonal naive, seasonal mean and least squares, by name; those of a season
    only where every window has one behind it."""
    season, L, H = preprocess.season, windows.context, windows.horizon
    starts = windows.starts_W
    borders = torch.from_numpy(split.panel.borders)
    begin = borders[torch.searchsorted(borders, starts, right=True) - 1]
    longest = int((starts + L - begin).min()) if len(starts) else 0
    back = L if season <= L else season
    seasonal = 1 < season <= longest and back <= longest
    fit = None if train is None else least_squares(preprocess, train)
    rows_RC = standard_rows(preprocess, split)
    found: dict[str, list[Tensor]] = {}
    for block in torch.split(starts, AT_ONCE):
        reach = back if seasonal else L
        past = rows_RC.unfold(0, reach, 1)[block + L - reach].transpose(1, 2)
        made = {"naive": naive(past, H)}
        if seasonal:
            made["seasonal naive"] = seasonal_naive(past, H, season)
            if reach >= 2 * season:
                made["seasonal mean"] = seasonal_mean(past, H, season)
        if fit is not None:
            made["least squares"] = fit(past[:, -L:])
        for name, value in made.items():
            found.setdefault(name, []).append(value)
    return {name: torch.cat(values) for name, values in found.items()}


def standard_rows(preprocess: Any, split: Series) -> Tensor:
    """The targets of a panel (R, C) in standard deviations, what is missing repeated."""
    windows = preprocess.encode(split)
    rows_RC: Tensor = windows.rows_RD[:, : windows.channels]
    if preprocess.standardised:
        return rows_RC
    mean_SC, std_SC, _ = windows.units
    standard: Tensor = (rows_RC - mean_SC[windows.series_R]) / std_SC[windows.series_R]
    return standard


def least_squares(preprocess: Any, train: Series) -> LeastSquares | None:
    """The linear map fitted on the training windows; None where there are none."""
    windows = preprocess.encode(train)
    if not len(windows):
        return None
    L, H = windows.context, windows.horizon
    fit = LeastSquares(L, H)
    rows_RC = standard_rows(preprocess, train)
    for block in torch.split(windows.starts_W, AT_ONCE):
        cut = rows_RC.unfold(0, L + H, 1)[block].transpose(1, 2)
        seen = windows.observed_RC
        fit.add(
            cut[:, :L], cut[:, L:], None if seen is None else seen.unfold(0, L + H, 1)[block].transpose(1, 2)[:, L:]
        )
    return fit


def _rolling(result: Backtest, before: Forecasts, levels: tuple[int, ...], season: int) -> dict[int, Tensor]:
    """Half widths by level, of each series by itself; recalibrated once a season."""
    truth, y = result.truth, result.methods[MODEL]
    residual = (before.y - before.truth.target_NHC).abs().masked_fill(~before.truth.seen_NHC, torch.nan)
    found = {level: torch.full_like(y, torch.inf) for level in levels}
    for series in sorted(set(truth.series_N.tolist())):
        own, former = truth.series_N == series, before.truth.series_N == series
        for level in levels:
            found[level][own] = rolling_intervals(
                y[own],
                truth.target_NHC[own],
                truth.seen_NHC[own],
                truth.origin_N[own],
                (residual[former], before.truth.origin_N[former]),
                level / 100,
                every=max(1, season),
            )
    return found


def measured(result: Backtest) -> dict[str, float]:
    """The scores of the model, "crps", coverage and width of its intervals; "naive_mae" and so on of the others."""
    truth, y = result.truth, result.methods[MODEL]
    found = scores(truth, y)
    if result.quantiles_NHCQ is not None:
        found["crps"] = crps(truth, result.quantiles_NHCQ)
    for level, (low, high) in result.intervals.items():
        inside, width, own = coverage(truth, low, high)
        found |= {f"coverage_{level}": inside, f"width_{level}": width, f"own_width_{level}": own}
    for level, radius in result.rolling.items():
        if torch.isfinite(radius).all():
            found[f"rolling_coverage_{level}"] = coverage(truth, y - radius, y + radius)[0]
    for name, other in result.methods.items():
        if name != MODEL:
            called = name.replace(" ", "_")
            of = scores(truth, other)
            found |= {f"{called}_{score}": of[score] for score in ("mse", "mae", "mase", "smape") if score in of}
            found |= {
                f"skill_{score}_over_{called}": 100 * (1 - found[score] / of[score])
                for score in ("mse", "mae")
                if of[score] > 0
            }
    return found


def windows_of(split: Series, context: int, horizon: int) -> int:
    """The number of windows of a split."""
    return len(window_starts(split, context, horizon))
