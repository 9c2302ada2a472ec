"""What the columns of a table of series are: the time, the series of a row, targets, inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamina.data.options import DataOptions
from lamina.data.series.panel import Roles
from lamina.data.series.stamps import USUAL_TIMES
from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.columns import FEW_CATEGORIES, Typed, typed
from lamina.data.tabular.dates import date_order
from lamina.data.tabular.reading import Place
from lamina.data.tabular.roles import is_row_number
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

SERIES_NAMES = ("unique_id", "series_id", "item_id")
TARGET_NAMES = ("y", "target")
MOST_LISTED = 8


@dataclass(frozen=True)
class Assigned:
    """The roles of the columns, their values, and what the user should read about them."""

    roles: Roles
    typed: dict[str, Typed]
    notes: tuple[str, ...]


def assign(frame: pd.DataFrame, place: Place, options: DataOptions) -> Assigned:
    """The roles that the options name, the others by the columns: without ``target`` all numbers are targets, else they
    are inputs of the past. Raises UsageError for an unknown column and one with two roles, DataError for a target that
    holds texts."""
    columns = [str(name) for name in frame.columns]
    time = time_column(frame, place, options)
    series = options.series or tuple(name for name in columns if name.casefold() in SERIES_NAMES)[:1]
    for what, names in (
        ("series column", series), ("target", options.targets), ("known column", options.known),
        ("static column", options.static), ("past column", options.past),
    ):  # fmt: skip
        for name in names:
            if name not in columns:
                raise unknown(what, name, columns)
    given = (*series, *options.targets, *options.known, *options.static, *options.past, *([time] if time else []))
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"column '{twice}' has two roles: it is one of time, series, target, known, static or past")
    notes: list[str] = []
    free = [name for name in columns if name not in given and not (is_row_number(name) and name not in options.keep)]
    values = {
        name: typed(frame[name], place, categorical=name in options.categorical, options=options)
        for name in (*options.targets, *options.known, *options.static, *options.past, *free)
    }
    targets = options.targets
    if not targets:
        named = [name for name in free if name.casefold() in TARGET_NAMES and values[name].kind == "numeric"]
        targets = tuple(named[:1] or [name for name in free if values[name].kind == "numeric"])
        if not targets:
            raise DataError(f"{place(0)}: no column holds numbers to forecast: --target names one")
    for name in targets:
        if values[name].kind != "numeric":
            raise DataError(
                f"{place(0)}: target '{name}' holds {values[name].values.iloc[0]!r}, but a series is of numbers"
            )
    rest = [name for name in free if name not in targets]
    past = options.past or tuple(name for name in rest if _is_input(frame, name, values[name], place, options, notes))
    roles = Roles(
        targets=tuple(targets),
        time=time,
        series=tuple(series),
        known=tuple(options.known),
        static=tuple(options.static),
        past=tuple(past),
    )
    if not options.past and past:
        listed = ", ".join(past[:MOST_LISTED]) + (", ..." if len(past) > MOST_LISTED else "")
        notes.append(
            f"inputs of the past alone: {listed} (--known names what is known ahead, such as holidays; --drop leaves "
            "columns out)"
        )
    return Assigned(roles, {name: values[name] for name in roles.values}, tuple(notes))


def _is_input(
    frame: pd.DataFrame, name: str, column: Typed, place: Place, options: DataOptions, notes: list[str]
) -> bool:
    """Whether a column that no option names is an input of the past."""
    if column.kind == "numeric":
        return bool(column.values.notna().any())
    present = column.values.dropna()
    if len(set(present)) > FEW_CATEGORIES and name not in options.categorical:
        what = "dates" if date_order(column.values, place, options.day_first) is not None else "texts"
        notes.append(f"column '{name}' holds {len(set(present)):,} different {what}: left out")
        return False
    return len(set(present)) > 1


def time_column(frame: pd.DataFrame, place: Place, options: DataOptions) -> str | None:
    """The column of time: the one named, else the only one of dates, or the only one of these with a usual name; None
    where there is none. Raises UsageError for several."""
    columns = [str(name) for name in frame.columns]
    if options.time is not None:
        if options.time not in columns:
            raise unknown("time column", options.time, columns)
        return options.time
    found = [name for name in columns if name not in options.targets and _holds_dates(frame[name], place, options)]
    usual = [name for name in found if name.casefold() in USUAL_TIMES]
    if len(found) > 1 and len(usual) != 1:
        raise UsageError(f"columns {' and '.join(map(repr, found))} hold dates: --time names the time of a row")
    return next(iter(usual or found), None)


def _holds_dates(series: pd.Series[Any], place: Place, options: DataOptions) -> bool:
    from pandas.api import types

    if types.is_datetime64_any_dtype(series.dtype):
        return True
    if types.is_numeric_dtype(series.dtype):
        return False
    import pandas as pd

    texts = pd.Series(as_texts(series, options.missing).to_pylist(), name=series.name, dtype=object)
    return date_order(texts, place, options.day_first) is not None
