"""The step between the rows of a series: seconds to years, business days, or plain numbers; what is due next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lamina.errors import UsageError

Array = np.ndarray[Any, Any]
SECOND = 10**9
DAY = 86_400 * SECOND
FIXED = {"s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "D": DAY, "W": 7 * DAY}
"""nanoseconds of a step"""
MONTHS = {"M": 1, "Q": 3, "Y": 12}
WORDS = {"H": "h", "T": "min", "S": "s", "A": "Y", "d": "D", "w": "W", "m": "M", "hour": "h", "day": "D", "week": "W"}
ONE_DAY, ONE_MONTH = np.timedelta64(1, "D"), np.timedelta64(1, "M")
SPANS = {1: (28, 31), 2: (59, 62), 3: (89, 92), 6: (181, 184), 12: (365, 366)}
"""days of so many months"""
LEAST_BUSINESS = 10
"""rows without a weekend that make business days"""


@dataclass(frozen=True, kw_only=True)
class Frequency:
    """The step between rows. Stamps are int64: nanoseconds since 1970, or whole numbers where there are no dates.

    Example: ``frequency_named("MS").after(stamp, 3)`` are the next three first days of a month.
    """

    unit: Literal["time", "months", "business", "steps"]
    count: int = 1
    """of a step: nanoseconds, months, or the difference of two numbers"""
    day: int = 1
    """months: the day of the month, 0: the last"""

    @property
    def dated(self) -> bool:
        """Whether stamps are dates."""
        return self.unit != "steps"

    @property
    def name(self) -> str:
        """As ``--frequency`` takes it: "h", "30min", "D", "B", "MS", "QE"; of plain numbers "1"."""
        if self.unit == "business":
            return "B"
        if self.unit == "steps":
            return str(self.count)
        if self.unit == "months":
            letter = {months: letter for letter, months in MONTHS.items()}
            size = max(months for months in letter if self.count % months == 0)
            many = "" if self.count == size else str(self.count // size)
            return f"{many}{letter[size]}{ {0: 'E', 1: 'S'}.get(self.day, f'-{self.day}') }"
        word = max((word for word, size in FIXED.items() if self.count % size == 0), key=FIXED.__getitem__, default="")
        if not word:
            return f"{self.count / SECOND:g}s"
        return f"{'' if self.count == FIXED[word] else self.count // FIXED[word]}{word}"

    @property
    def season(self) -> int:
        """The usual season: 24 hours, 7 days, 5 business days, 52 weeks, 12 months, 4 quarters, 60 seconds; of steps
        within a day those of a day. 1: none."""
        if self.unit == "business":
            return 5
        if self.unit == "months":
            return max(1, 12 // self.count)
        if self.unit == "steps":
            return 1
        if self.count >= 7 * DAY:
            return max(1, round(52 * 7 * DAY / self.count))
        if self.count >= DAY:
            return max(1, round(7 * DAY / self.count))
        return 60 if self.count <= SECOND else max(1, round(DAY / self.count))

    def positions(self, stamps: Array) -> tuple[Array, Array]:
        """The place (N,) of each stamp on the grid of the first, and whether it is exactly there."""
        if not len(stamps):
            return np.zeros(0, np.int64), np.ones(0, bool)
        if self.unit in ("time", "steps"):
            away = stamps - stamps[0]
            place = np.floor_divide(away + self.count // 2, self.count)
            return place, away == place * self.count
        dates = stamps.astype("datetime64[ns]")
        days = dates.astype("datetime64[D]")
        if self.unit == "business":
            exact = np.is_busday(days) & (dates - days == dates[0] - days[0])
            return np.busday_count(days[0], np.busday_offset(days, 0, roll="backward")), exact
        months = days.astype("datetime64[M]").astype(np.int64)
        away = months - months[0]
        place = np.floor_divide(away, self.count)
        return place, (stamps == self._dates(months, dates[0] - days[0])) & (away % self.count == 0)

    def at(self, first: int, places: Array) -> Array:
        """The stamps at ``places`` of the grid that begins at ``first``."""
        places = np.asarray(places, np.int64)
        if self.unit in ("time", "steps"):
            return np.asarray(first + places * self.count)
        date = np.int64(first).astype("datetime64[ns]")
        day = date.astype("datetime64[D]")
        if self.unit == "business":
            days = np.busday_offset(day, places, roll="backward")
            return np.asarray((days.astype("datetime64[ns]") + (date - day)).astype(np.int64))
        return self._dates(day.astype("datetime64[M]").astype(np.int64) + places * self.count, date - day)

    def after(self, last: int, count: int) -> Array:
        """The ``count`` stamps that are due after ``last``."""
        return self.at(last, np.arange(1, count + 1))

    def _dates(self, months: Array, time: Any) -> Array:
        """The stamps of a day of these months since 1970; a month without that day ends before it."""
        start = months.astype("datetime64[M]")
        end = (start + ONE_MONTH).astype("datetime64[D]") - ONE_DAY
        days = end if self.day == 0 else np.minimum(start.astype("datetime64[D]") + (self.day - 1) * ONE_DAY, end)
        return np.asarray((days.astype("datetime64[ns]") + time).astype(np.int64))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def frequency_named(name: str) -> Frequency:
    """The frequency called "h", "30min", "D", "B", "W", "MS" (first of the month), "ME" (last), "QS", "Y", or "1" of
    numbers. Raises UsageError."""
    found = re.fullmatch(r"(\d*)\s*([A-Za-z]*?)([SE]?)(?:-(\w+))?", name.strip())
    word = "" if found is None else WORDS.get(found[2], found[2])
    many = int(found[1] or 1) if found is not None else 0
    if found is None or many < 1 or (not word and not found[1] and found[3] != "S"):
        raise _unknown(name)
    if not word and not found[3]:
        return Frequency(unit="steps", count=many)
    if word == "B":
        return Frequency(unit="business")
    if word in MONTHS:
        day = found[4] or ""
        return Frequency(
            unit="months",
            count=many * MONTHS[word],
            day=int(day) if day.isdecimal() else 0 if found[3] == "E" else 1,
        )
    word = word or "s"
    if word not in FIXED or (found[3] and found[2]):
        raise _unknown(name)
    return Frequency(unit="time", count=many * FIXED[word])


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"frequency '{name}' is not known: s, min, h, D, B (business days), W, MS (first of the month), ME (last), QS, "
        "QE, YS, YE, with a number before it for several (30min), or a number for steps without dates"
    )


def frequency_of(dict_: dict[str, Any]) -> Frequency:
    """``Frequency.to_dict`` read."""
    return Frequency(**dict_)


def inferred(parts: Sequence[Array], dated: bool) -> Frequency | None:
    """The frequency of sorted stamps without duplicates, a part for each series: that of most steps; None where no part
    has two stamps."""
    steps = np.concatenate([np.diff(part) for part in parts]) if parts else np.zeros(0, np.int64)
    if not len(steps):
        return None
    sizes, counts = np.unique(steps, return_counts=True)
    most = int(sizes[counts.argmax()])
    if not dated:
        return Frequency(unit="steps", count=most)
    for months, (low, high) in SPANS.items():
        if low * DAY <= most <= high * DAY:
            return _monthly(parts, months)
    every = np.concatenate(list(parts)).astype("datetime64[ns]").astype("datetime64[D]")
    if most == DAY and len(every) >= LEAST_BUSINESS and (steps == 3 * DAY).any() and np.is_busday(every).all():
        return Frequency(unit="business")
    return Frequency(unit="time", count=most)


def _monthly(parts: Sequence[Array], months: int) -> Frequency:
    days = np.concatenate(list(parts)).astype("datetime64[ns]").astype("datetime64[D]")
    starts = days.astype("datetime64[M]").astype("datetime64[D]")
    numbers = (days - starts).astype(np.int64) + 1
    ends = (days.astype("datetime64[M]") + ONE_MONTH).astype("datetime64[D]") - ONE_DAY
    if (numbers == 1).all():
        return Frequency(unit="months", count=months)
    if (days == ends).all():
        return Frequency(unit="months", count=months, day=0)
    return Frequency(unit="months", count=months, day=int(numbers.max()))
