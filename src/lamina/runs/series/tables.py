"""The scores of a backtest as numbers by name and as tables: the model, and the forecasts beside it.

Legend: H horizon, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
        rows = []
        for label, part in parts(result.truth, per, names, targets):
            of = {name: scores(part, y).get("mae") for name, y in result.methods.items()}
            rows.append((label, list(of.values())))
            found |= {
                f"{label}_mae" if name == MODEL else f"{label}_{name}_mae": one
                for name, one in of.items()
                if one is not None
            }
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


def parts(truth: Truth, per: str, names: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[str, Truth]]:
    """The values that are of one step, one series or one channel, with their names."""
    if per == "step":
        for step in range(truth.target_NHC.shape[1]):
            yield f"step {step + 1}", truth.only(step=step)
    elif per == "channel":
        for channel, name in enumerate(targets):
            yield name, truth.only(channel=channel)
    else:
        for series in sorted(set(truth.series_N.tolist())):
            seen = truth.seen_NHC & (truth.series_N == series)[:, None, None]
            yield names[series] or "the series", Truth(**{**vars(truth), "seen_NHC": seen})


def _others(result: Backtest) -> tuple[str, ...]:
    return tuple(f"{name.replace(' ', '_')}_" for name in result.methods if name != MODEL)
