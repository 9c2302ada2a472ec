"""The report's sections of forecasts, from a backtest of the best weights.

Legend: N windows, H horizon, C channels, Q quantiles, L steps shown of the past.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lamina.data.series.panel import ONLY, Series
from lamina.data.series.stamps import stamp_text
from lamina.report.blocks import Block, Chart, Charts, Section, Table, Text
from lamina.report.series import figures
from lamina.report.series.figures import Fan
from lamina.report.wording import number
from lamina.runs.series.backtest import CRPS_LEVELS, MODEL, Backtest, standard_rows
from lamina.runs.series.tables import Scores, compared
from lamina.tasks.forecasting.scores import coverage

DRAWN, WORST = 4, 4
"""fans that are drawn, and windows of the largest error"""
SHOWN_PAST = 2
"""horizons of the past that a fan shows, at least"""


def forecasting_sections(run: Any, split: Series, result: Backtest, scores: Scores) -> list[Section]:
    """Comparison, fans, errors by step, intervals and the worst windows of a split."""
    table = compared(result)
    rows = [[name, *(number(value) for value in cells)] for name, cells in table.rows]
    note = (
        f"{number(len(result.truth))} windows. MSE and MAE in standard deviations of the training rows; skill: by how "
        "much less the model errs, in per cent."
    )
    comparison: list[Block] = [Table(title="", columns=list(table.columns), rows=rows, note=note)]
    errors = {name: _by_step(result, y) for name, y in result.methods.items()}
    if result.truth.target_NHC.shape[1] > 1:
        step = Chart(title="MAE by step", svg=figures.by_step(errors, "MAE, standard deviations"))
        comparison.append(Charts(charts=[step]))
    sections = [Section(name="comparison", title="Beside simple forecasts", blocks=comparison)]
    chosen = np.unique(np.linspace(0, len(result.truth) - 1, DRAWN).round().astype(int)).tolist()
    fans = [Chart(title=one.title, svg=figures.fan(one)) for one in _fans(run, split, result, chosen)]
    sections.append(Section(name="forecasts", title="Forecasts", blocks=[Charts(charts=fans)]))
    sections += _intervals(result)
    worst = _worst(result)
    text = Text(text=f"The windows of the largest mean absolute error among {number(len(result.truth))}.")
    drawn = [Chart(title=one.title, svg=figures.fan(one)) for one in _fans(run, split, result, worst)]
    return [*sections, Section(name="worst", title="Worst windows", blocks=[text, Charts(charts=drawn)])]


def _by_step(result: Backtest, y: torch.Tensor) -> Any:
    error = (y - result.truth.target_NHC).abs().double().masked_fill(~result.truth.seen_NHC, 0.0).sum((0, 2))
    return (error / result.truth.seen_NHC.sum((0, 2)).clamp_min(1)).numpy()


def _worst(result: Backtest) -> list[int]:
    """Windows of the largest error, none within a horizon of another of its series."""
    truth = result.truth
    error = (result.methods[MODEL] - truth.target_NHC).abs().masked_fill(~truth.seen_NHC, 0.0).mean((1, 2))
    horizon, found = truth.target_NHC.shape[1], list[int]()
    for index in error.argsort(descending=True).tolist():
        series, origin = int(truth.series_N[index]), int(truth.origin_N[index])
        near = any(int(truth.series_N[k]) == series and abs(int(truth.origin_N[k]) - origin) < horizon for k in found)
        if not near:
            found.append(index)
        if len(found) == WORST:
            break
    return found


def _fans(run: Any, split: Series, result: Backtest, chosen: list[int]) -> list[Fan]:
    """The forecasts of some windows, each of the channel of the largest error."""
    rows_RC, truth, panel = standard_rows(run.preprocess, split), result.truth, split.panel
    horizon = truth.target_NHC.shape[1]
    fans = []
    for n in chosen:
        error_C = (result.methods[MODEL][n] - truth.target_NHC[n]).abs().masked_fill(~truth.seen_NHC[n], 0.0).mean(0)
        c = int(error_C.argmax())
        origin = int(truth.origin_N[n])
        begin = max(origin - max(run.preprocess.context // 2, SHOWN_PAST * horizon), 0)
        part = int(np.searchsorted(panel.borders, origin, side="right")) - 1
        begin = max(begin, int(panel.borders[part]))

        def own(value: torch.Tensor, n: int = n, c: int = c) -> Any:
            return (value * truth.std_NC[n, c] + truth.mean_NC[n, c]).numpy()

        name, target = panel.names[int(truth.series_N[n])], panel.roles.targets[c]
        due = stamp_text(int(panel.stamps_R[origin]), panel.frequency.dated)
        start, last, end = (
            stamp_text(int(panel.stamps_R[at]), panel.frequency.dated)
            for at in (begin, origin - 1, origin + horizon - 1)
        )
        others = {k: own(y[n, :, c]) for k, y in result.methods.items() if k in ("seasonal mean", "naive")}
        others = {k: y for k, y in others.items() if k == "seasonal mean" or "seasonal mean" not in others}
        truth_H = np.where(truth.seen_NHC[n, :, c].numpy(), own(truth.target_NHC[n, :, c]), np.nan)
        fans.append(
            Fan(
                title=f"{target}{'' if name == ONLY else f' of {name}'}, from {due}",
                past_L=own(rows_RC[begin:origin, c]),
                forecast_H=own(result.methods[MODEL][n, :, c]),
                truth_H=truth_H,
                intervals={
                    level: (own(low[n, :, c]), own(high[n, :, c])) for level, (low, high) in result.intervals.items()
                },
                others=others,
                times=(start, last, end),
            )
        )
    return fans


def _intervals(result: Backtest) -> list[Section]:
    """Coverage by level, and the place of what came among the quantiles."""
    quantiles, truth = result.quantiles_NHCQ, result.truth
    if quantiles is None:
        return []
    count = quantiles.shape[-1]
    levels = sorted(CRPS_LEVELS)
    found = []
    for level in levels:
        low = CRPS_LEVELS.index(level)
        found.append(100 * coverage(truth, quantiles[..., low], quantiles[..., count - 1 - low])[0])
    curves = {"intervals of the run": found}
    place = (truth.target_NHC[..., None] > quantiles).sum(-1)[truth.seen_NHC]
    share = torch.bincount(place, minlength=count + 1).double() / len(place)
    note = "Above the line intervals are wider than they need be, below it too narrow."
    charts = [
        Chart(title="Coverage", svg=figures.coverage_curve(levels, curves), note=note),
        Chart(
            title="Place of the truth",
            svg=figures.transform(share.numpy()),
            note="Even where the quantiles are right; high at the ends where they are too narrow.",
        ),
    ]
    blocks: list[Block] = [Charts(charts=charts)]
    if result.rolling:
        y = result.methods[MODEL]
        words = [
            f"{level} %: {100 * coverage(truth, y - radius, y + radius)[0]:.1f} %"
            for level, radius in result.rolling.items()
            if torch.isfinite(radius).all()
        ]
        blocks.append(
            Text(text=f"Recalibrated on the way, once a season, on the latest residuals: {', '.join(words)}.")
        )
    return [Section(name="intervals", title="Intervals", blocks=blocks)]
