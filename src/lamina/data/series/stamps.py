"""The column of time: dates however they are written, or whole numbers, as int64; and stamps as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.dates import date_order
from lamina.data.tabular.reading import Place, shown
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
USUAL_TIMES = ("date", "time", "timestamp", "datetime", "ds", "day", "month")
"""names of columns of time, in lower case"""
_ZONE = re.compile(r"\d\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})\s*$")
_CLOCK = re.compile(r"[T\s]\d{1,2}:\d{2}")
EPOCHS = {"seconds": (10**8, 10**10, 10**9), "milliseconds": (10**11, 10**13, 10**6)}
"""numbers of so many digits count from 1970: from, below, nanoseconds of one"""


def read_stamps(series: pd.Series[Any], place: Place, options: DataOptions) -> tuple[Array, bool, list[str]]:
    """Stamps (N,) int64, whether they are dates (then nanoseconds since 1970, of time zones in UTC), and notes.

    Raises DataError, naming the row, for an empty cell, a cell of another kind, dates whose day and month could be
    either, and times of which some have a zone and some have none.
    """
    from pandas.api import types

    if types.is_numeric_dtype(series.dtype) and not types.is_bool_dtype(series.dtype):
        return _numbers(series, place)
    texts = np.array(as_texts(series, options.missing).to_pylist(), dtype=object)
    empty = np.array([text is None for text in texts])
    if empty.any():
        raise _empty(series, place, empty)
    notes: list[str] = []
    zones = [found["zone"] if (found := _ZONE.search(text)) and _CLOCK.search(text) else "" for text in texts]
    if len({bool(zone) for zone in zones}) > 1:
        row = next(i for i, zone in enumerate(zones) if bool(zone) != bool(zones[0]))
        has = ("a", "none") if zones[0] == "" else ("no", "one")
        raise DataError(
            f"{place(row)}: column '{series.name}' holds {shown(texts[row])}, with {has[0]} time zone, where the rows "
            f"before have {has[1]}: write all of them alike"
        )
    if len(set(zones)) > 1:
        notes.append(f"column '{series.name}' has times of {len(set(zones))} offsets from UTC: all are read as UTC")
    elif zones and zones[0] not in ("", "Z", "UTC", "GMT", "+00:00", "+0000"):
        notes.append(f"column '{series.name}' has times with the offset {zones[0]}: they are read as UTC")
    return _parsed(series, texts, place, options, bool(zones and zones[0])), True, notes


def _parsed(series: pd.Series[Any], texts: Array, place: Place, options: DataOptions, zoned: bool) -> Array:
    """Nanoseconds since 1970."""
    import pandas as pd

    column = pd.Series(texts, name=series.name, dtype=object)
    found = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=zoned)
    if found.isna().any():
        order = date_order(column, place, options.day_first)  # raises with the row where most are dates
        if order is None:
            row = int(found.isna().to_numpy().argmax())
            raise DataError(
                f"{place(row)}: column '{series.name}' holds {shown(texts[row])}, expected a date, or a number in "
                "every row (--time names the column of time)"
            )
        if order == "unclear":
            row = int(found.isna().to_numpy().argmax())
            raise DataError(
                f"{place(row)}: column '{series.name}' holds {shown(texts[row])}, whose day and month could be either: "
                "--day-first or --no-day-first says which comes first"
            )
        written = column.str.strip()
        dotted = written.str.match(r"\d{1,2}\.\d{1,2}\.")
        iso = written.str.match(r"\d{4}")
        first = order == "day first"
        found = pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns, UTC]" if zoned else "datetime64[ns]")
        for chosen, day_first in ((iso, False), (~iso & dotted, True), (~iso & ~dotted, first)):
            if chosen.any():
                part = pd.to_datetime(written[chosen], format="mixed", dayfirst=day_first, errors="coerce", utc=zoned)
                found[chosen] = part.astype(found.dtype)
    wrong = found.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{place(row)}: column '{series.name}' holds {shown(texts[row])}, which is no date")
    values = found.dt.tz_localize(None) if zoned else found
    return np.asarray(values.to_numpy().astype("datetime64[ns]").astype(np.int64))


def _numbers(series: pd.Series[Any], place: Place) -> tuple[Array, bool, list[str]]:
    """Dates that are numbers (20200131, seconds since 1970, years), or whole numbers as steps."""
    import pandas as pd

    values = pd.to_numeric(series).to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(values).any():
        raise _empty(series, place, np.isnan(values))
    odd = values % 1 != 0
    if odd.any():
        raise DataError(
            f"{place(int(odd.argmax()))}: column '{series.name}' holds {shown(series.iloc[int(odd.argmax())])}: "
            f"numbers of time are whole steps (with --drop '{series.name}' rows are taken in their order)"
        )
    whole = pd.to_numeric(series).to_numpy(dtype=np.int64)
    name = series.name
    if len(whole) and ((whole >= 10_000_101) & (whole <= 99_991_231)).all():
        dates = pd.to_datetime(pd.Series(whole.astype(str)), format="%Y%m%d", errors="coerce")
        if not dates.isna().any():
            note = f"column '{name}' is read as dates: {whole[0]} is {dates.iloc[0]:%Y-%m-%d}"
            return dates.to_numpy().astype("datetime64[ns]").astype(np.int64), True, [note]
    for unit, (low, high, size) in EPOCHS.items():
        if len(whole) and ((whole >= low) & (whole < high)).all():
            note = f"column '{name}' is read as {unit} since 1970: {whole[0]} is {stamp_text(int(whole[0]) * size)}"
            return whole * size, True, [note]
    if len(whole) and ((whole >= 1800) & (whole <= 2200)).all() and str(name).casefold() in ("year", "date", "ds"):
        years = (whole - 1970).astype("datetime64[Y]").astype("datetime64[ns]").astype(np.int64)
        return years, True, [f"column '{name}' is read as years"]
    return whole, False, []


def _empty(series: pd.Series[Any], place: Place, empty: Array) -> DataError:
    return DataError(
        f"{place(int(empty.argmax()))}: column '{series.name}', the time, is empty ({int(empty.sum())} rows in all)"
    )


def stamp_text(stamp: int, dated: bool = True) -> str:
    """A stamp as people write it: "2020-01-31", "2020-01-31 18:30", or a number.

    Example: ``stamp_text(0)`` is "1970-01-01".
    """
    if not dated:
        return str(stamp)
    text = str(np.int64(stamp).astype("datetime64[ns]").astype("datetime64[ms]")).replace("T", " ")
    if text.endswith(".000"):
        text = text.removesuffix(".000")
        text = text.removesuffix(":00") if text.endswith(":00") else text
    return text.removesuffix(" 00:00")
