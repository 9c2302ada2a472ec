"""Series end to end: one table of values sorted by series and time, the borders between them, and splits of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.series.frequency import Frequency

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
ONLY = ""
"""the name of the series where there is one"""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the columns of series are.

    Example: ``Roles(time="date", targets=("sales",), known=("holiday",))``
    """

    targets: tuple[str, ...]
    time: str | None = None
    """the column of time; None: rows are in their order"""
    series: tuple[str, ...] = ()
    """columns that name the series of a row; empty: there is one"""
    known: tuple[str, ...] = ()
    """known ahead of time, such as holidays"""
    static: tuple[str, ...] = ()
    """the same in all rows of a series"""
    past: tuple[str, ...] = ()
    """inputs known of the past alone"""

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that hold values, targets first."""
        return (*self.targets, *self.known, *self.static, *self.past)

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Roles:
        values: dict[str, Any] = {k: tuple(one) if isinstance(one, list) else one for k, one in data.items()}
        return cls(**values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Rows of all series, sorted by series and time. A part is a run of rows without a gap: windows never cross parts.

    R rows, P parts.
    """

    frame: pd.DataFrame
    """the columns of the roles: float64 with NaN, or texts with None, for what is missing"""
    stamps_R: Array
    """int64, see ``Frequency``"""
    borders: Array
    """(P + 1,): part p is the rows ``borders[p]`` up to ``borders[p + 1]``"""
    series_P: Array
    """the series of each part, an index of ``names``"""
    names: tuple[str, ...]
    roles: Roles
    frequency: Frequency
    season: int
    """rows in a season; 1: none"""
    filled_R: Array
    """rows that a gap was filled with"""
    holes: int = 0
    """gaps that were found"""
    repeated: int = 0
    """rows at a time that another row of the series had, which are left out"""
    anomalous_R: Array | None = None
    """rows labelled as anomalies, for evaluation alone; None: no labels"""

    @property
    def series_of(self) -> Array:
        """The series of each row."""
        return np.repeat(self.series_P, np.diff(self.borders))

    def rows_of(self, series: int) -> Array:
        """The rows of a series, in order of time."""
        parts = np.flatnonzero(self.series_P == series)
        spans = [np.arange(self.borders[p], self.borders[p + 1]) for p in parts]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Series:
    """A split of series: rows whose values are to be forecast or judged. What lies before them in their part may be
    looked at."""

    panel: Panel
    low_P: Array
    high_P: Array
    """the rows ``low_P[p]`` up to ``high_P[p]`` of each part are the split's"""

    def __len__(self) -> int:
        return int((self.high_P - self.low_P).sum())

    def rows(self) -> Array:
        """The rows of the split."""
        spans = [np.arange(low, high) for low, high in zip(self.low_P, self.high_P, strict=True)]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)

    def subset(self, index: Sequence[int]) -> Series:
        """The first rows of the split, as many as ``index`` has: rows in order of time cannot be drawn."""
        left, high_P = len(index), self.low_P.copy()
        for p, (low, high) in enumerate(zip(self.low_P, self.high_P, strict=True)):
            taken = min(left, int(high - low))
            high_P[p] = low + taken
            left -= taken
        return replace(self, high_P=high_P)


def of_labels(panel: Panel, label_R: Array) -> dict[str, Series]:
    """The splits by the label of each row, ``TRAIN``, ``VALIDATION``, ``TEST`` or ``UNUSED``; of a series labels never
    go down with time."""
    splits = {}
    starts, ends = panel.borders[:-1], panel.borders[1:]
    for number, name in enumerate(LABELS):
        low_P, high_P = starts.copy(), starts.copy()
        for p, (start, end) in enumerate(zip(starts, ends, strict=True)):
            low_P[p] = start + np.searchsorted(label_R[start:end], number, side="left")
            high_P[p] = start + np.searchsorted(label_R[start:end], number, side="right")
        if (high_P > low_P).any():
            splits[name] = Series(panel, low_P, high_P)
    return splits


LABELS = ("train", "validation", "test")
UNUSED = 3
