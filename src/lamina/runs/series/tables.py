"""The scores of a backtest as numbers by name and as tables: the model, and the forecasts beside it.

Legend: H horizon, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.runs.series.backtest import MODEL, Backtest, measured
from lamina.tasks.forecasting.scores import Truth, scores

SCORES = {"mse": "MSE", "mae": "MAE", "mase": "MASE", "smape": "sMAPE", "own_mae": "MAE, own units"}


@dataclass(frozen=True)
class ScoreTable:
    """Rows of numbers with a name each."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]


class Scores(dict[str, float]):
    """Metrics by name, and the same as tables."""

    tables: tuple[ScoreTable, ...] = ()
    shown: tuple[str, ...] = ()
    """the names that stand in no table"""


def scored(result: Backtest, per: str, names: Sequence[str], targets: Sequence[str]) -> Scores:
    """The scores of a backtest, also by ``per`` "step", "series" or "channel"; ``names`` are those of the series."""
    found = Scores(measured(result))
    tables = [compared(result)]
    whole = dict(found)
    if per != "all":
        labels = {
            "step": _steps(result.truth),
            "channel": tuple(targets),
            "series": tuple(n or "the series" for n in names),
        }
        columns = {name: errors_by(result.truth, y, per) for name, y in result.methods.items()}
        rows = []
        for k, label in enumerate(labels[per]):
            of = {name: values[k] for name, values in columns.items()}
            if all(value is None for value in of.values()):
                continue
            rows.append((label, list(of.values())))
            keys = {name: f"{label}_mae" if name == MODEL else f"{label}_{name.replace(' ', '_')}_mae" for name in of}
            found |= {keys[name]: value for name, value in of.items() if value is not None}
        tables.append(ScoreTable((f"MAE by {per}", *result.methods), rows))
    found.tables = tuple(tables)
    found.shown = tuple(
        name for name in whole if not name.startswith(_others(result)) and not name.startswith("skill_")
    )
    return found


def compared(result: Backtest) -> ScoreTable:
    """A row for each method: its errors, and the skill of the model over it in per cent."""
    model = scores(result.truth, result.methods[MODEL])
    names = [name for name in SCORES if name in model]
    rows: list[tuple[str, Sequence[float | None]]] = []
    for name, y in result.methods.items():
        of = scores(result.truth, y)
        skills = [
            None if name == MODEL or not of[score] else 100 * (1 - model[score] / of[score]) for score in ("mse", "mae")
        ]
        rows.append((name, [*(of.get(score) for score in names), *skills]))
    return ScoreTable(("forecast", *(SCORES[name] for name in names), "skill MSE %", "skill MAE %"), rows)


def errors_by(truth: Truth, y_NHC: Tensor, per: str) -> list[float | None]:
    """The mean absolute error of each step, channel or series, in standard deviations; None without a value."""
    error = (y_NHC.double() - truth.target_NHC.double()).abs().masked_fill(~truth.seen_NHC, 0.0)
    count = truth.seen_NHC.double()
    if per == "series":
        series = int(truth.series_N.max()) + 1
        total, seen = (torch.zeros(series, dtype=torch.float64) for _ in range(2))
        total.index_add_(0, truth.series_N, error.sum((1, 2)))
        seen.index_add_(0, truth.series_N, count.sum((1, 2)))
    else:
        axes = (0, 2) if per == "step" else (0, 1)
        total, seen = error.sum(axes), count.sum(axes)
    return [float(a / b) if b else None for a, b in zip(total, seen, strict=True)]


def _steps(truth: Truth) -> tuple[str, ...]:
    return tuple(f"step {step + 1}" for step in range(truth.target_NHC.shape[1]))


def _others(result: Backtest) -> tuple[str, ...]:
    return tuple(f"{name.replace(' ', '_')}_" for name in result.methods if name != MODEL)
