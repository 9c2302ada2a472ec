"""Dates in columns of text: how they are written, decided by the whole column, and their parts as numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.reading import MOSTLY_NUMBERS, Place, shown
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Order = Literal["day first", "month first", "unclear"]
"""of day and month in dates such as 03/04/2020"""
PARTS = ("year", "month", "day", "weekday", "hour")
"""weekday: 0 is Monday; hour: with minutes as a fraction"""
PROBED = 20
"""values looked at before all of them are"""

_TIME = (
    r"(?:[T\s]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:[.,]\d+)?)?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?\s*$"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<word>{'|'.join(_MONTHS)})[a-z]*\.?"
_FORMS = [
    re.compile(form + _TIME, re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2}))?",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})",
        r"(?P<first>\d{2})(?P<mark>[/.])(?P<second>\d{2})(?P=mark)(?P<year>\d{2})",
        rf"(?:[a-z]+,?\s+)?(?P<day>\d{{1,2}})[\s.-]*{_MONTH}[\s,-]*(?P<year>\d{{4}})",
        rf"(?:[a-z]+,?\s+)?{_MONTH}\s*(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})",
    )
]


def date_order(series: pd.Series[Any], place: Place, day_first: bool | None) -> Order | None:
    """How the dates in a column of texts are written; None for a column of something else.

    Read are 2020-12-31 (also with / and ., or without a day), 31.12.2020, 31/12/2020 and 12/31/2020 (also with a year
    of two digits), 31 Dec 2020 and December 31, 2020, each optionally with a time. A date with dots has the day first.
    For others ``day_first`` decides, or the one reading that all values allow; "unclear" if both do. Raises DataError,
    naming the row, if at least 90 % of the values are dates and one is not.
    """
    import pandas as pd

    codes, distinct = pd.factorize(series)
    probed = distinct[:PROBED]
    if not len(distinct) or 2 * sum(_match(text) is not None for text in probed) < len(probed):
        return None
    weights = np.bincount(codes[codes >= 0], minlength=len(distinct))
    first = parts_of(distinct, "day first")
    open_order = any((found := _match(text)) and "first" in found.groupdict() for text in distinct)
    second = parts_of(distinct, "month first") if open_order else first
    good = {"day first": ~np.isnan(first[:, 0]), "month first": ~np.isnan(second[:, 0])}
    if day_first is not None:
        order: Order = "day first" if day_first else "month first"
    elif good["day first"].all() and good["month first"].all():
        return "day first" if np.array_equal(first, second) else "unclear"
    else:
        order = "day first" if weights @ good["day first"] >= weights @ good["month first"] else "month first"
    if good[order].all():
        return order
    share = float(weights @ good[order]) / float(weights.sum())
    if share < MOSTLY_NUMBERS:
        return None
    row = int((codes == (~good[order]).argmax()).argmax())
    name = series.name
    raise DataError(
        f"{place(row)}: column '{name}' holds {shown(series.iloc[row])} where {share:.0%} of the values are dates, "
        f"{order} (name it in --missing, or choose --day-first or --no-day-first, or --categorical {name})"
    )


def parts_of(texts: Any, order: str) -> np.ndarray[Any, Any]:
    """The parts (N, 5) of dates, as in ``PARTS``; NaN for what is none, or no day of the calendar.

    Example: ``parts_of(["31.12.2020 18:30"], "day first")`` is ``[[2020, 12, 31, 3, 18.5]]``.
    """
    import datetime

    out = np.full((len(texts), len(PARTS)), np.nan)
    for row, text in enumerate(texts):
        found = _match(text) if isinstance(text, str) else None
        if found is None:
            continue
        given = found.groupdict()
        year = int(given["year"])
        if year < 100:
            year += 1900 if year >= 70 else 2000
        if "first" in given:
            day, month = int(given["first"]), int(given["second"])
            if order == "month first" and given["mark"] != ".":
                day, month = month, day
        else:
            day = int(given["day"] or 1)
            month = _MONTHS.index(given["word"][:3].lower()) + 1 if "word" in given else int(given["month"])
        hour, minute = int(given["hour"] or 0), int(given["minute"] or 0)
        if given["half"]:
            hour = hour % 12 + (12 if given["half"].lower() == "pm" else 0)
        try:
            date = datetime.datetime(year, month, day, hour % 24, minute)
        except ValueError:
            continue
        if hour <= 24:
            out[row] = year, month, day, date.weekday(), hour % 24 + minute / 60
    return out


def dates_in(series: pd.Series[Any], place: Place, order: str, missing: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """The parts (N, 5) of a column of dates, texts or of a type of dates; NaN for missing values. Raises DataError,
    naming the row, for what is no date."""
    import pandas as pd

    codes, distinct = pd.factorize(np.array(as_texts(series, missing).to_pylist(), dtype=object))
    parts = np.concatenate([parts_of(distinct, order), np.full((1, len(PARTS)), np.nan)])[codes]
    wrong = (codes >= 0) & np.isnan(parts[:, 0])
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{place(row)}: column '{series.name}' holds {shown(series.iloc[row])}, expected a date ({order}, or as "
            "2020-12-31)"
        )
    return parts


def _match(text: object) -> re.Match[str] | None:
    return next((found for form in _FORMS if (found := form.match(str(text).strip()))), None)
