"""From rows in any order to a panel: sorted, without duplicates, on the grid of a frequency, gaps handled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.series.frequency import DAY, SECOND, Frequency, frequency_named, inferred
from lamina.data.series.panel import ONLY, Array, Panel
from lamina.data.series.roles import Assigned
from lamina.data.series.stamps import read_stamps, stamp_text
from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.reading import Place
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

HOUR = 3600 * SECOND


@dataclass(frozen=True)
class Regular:
    """A panel, the row of the file that each of its rows was (-1: filled), and what the user should read."""

    panel: Panel
    origin_R: Array
    notes: tuple[str, ...]


def regular(
    frame: pd.DataFrame,
    assigned: Assigned,
    place: Place,
    options: DataOptions,
    frequency: Frequency | None = None,
    keeps_order: bool = False,
    labels_N: Array | None = None,
) -> Regular:
    """The rows as a panel. ``frequency`` is that of a run whose data these are to be like; with ``keeps_order`` the
    rows of a series are its steps, whatever their stamps say. ``labels_N`` are the splits of the rows, of a file that
    has its own.

    Raises DataError, naming row, series and stamp, for two values at one time, stamps off the grid and gaps, unless the
    options say what to do with them.
    """
    import pandas as pd

    roles, notes = assigned.roles, list(assigned.notes)
    if roles.time is None:
        stamps: Array = np.arange(len(frame), dtype=np.int64)
        dated = False
        if roles.series:
            stamps = (
                frame.groupby(series_keys(frame, roles.series, options, place), sort=False)
                .cumcount()
                .to_numpy(np.int64)
            )
        notes.append("no column of time: the rows are in order of time (--time names one)")
    else:
        stamps, dated, said = read_stamps(frame[roles.time], place, options)
        notes += said
    keys = series_keys(frame, roles.series, options, place)
    numbers, names = pd.factorize(keys)
    order = np.argsort(numbers, kind="stable") if keeps_order else np.lexsort((stamps, numbers))
    values = pd.DataFrame({name: assigned.typed[name].values.to_numpy() for name in roles.values})
    cells = _Cells(values, stamps, numbers, [str(name) for name in names], dated, place, roles.time or "row")
    if not keeps_order:
        back = _going_back(stamps, numbers)
        if back:
            notes.append(f"{back:,} rows are not in order of time: sorted by it")
        whole = len(order)
        order, said = cells.without_duplicates(order, options, labels_N)
        notes += said
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    spans = list(zip(starts, [*starts[1:], len(order)], strict=True))
    if keeps_order:
        chosen = frequency or inferred([np.unique(stamps[order[a:b]]) for a, b in spans], dated)
        chosen = chosen or Frequency(unit="steps")
        panel, origin, said = cells.panel(order, spans, [np.arange(b - a) for a, b in spans], chosen, assigned, "split")
    else:
        chosen = _frequency([stamps[order[a:b]] for a, b in spans], dated, options, frequency, place)
        placed = [cells.placed(order[a:b], chosen, options.frequency is not None) for a, b in spans]
        if options.frequency is not None and any(moved for _, moved in placed):
            moved = sum(count for _, count in placed)
            notes.append(f"{moved:,} stamps are brought to the nearest step of {chosen.name}")
        panel, origin, said = cells.panel(order, spans, [where for where, _ in placed], chosen, assigned, options.gaps)
    season = options.season or chosen.season
    repeated = 0 if keeps_order else whole - len(order)
    panel = replace(panel, season=season, repeated=repeated)
    return Regular(panel, origin, (*notes, *said, *_missing(panel)))


def _missing(panel: Panel) -> list[str]:
    found = [
        f"'{name}' {count:,}"
        for name in panel.roles.targets
        if (count := int(panel.frame[name].isna().to_numpy()[~panel.filled_R].sum()))
    ]
    if not found:
        return []
    return [f"missing values, in {', '.join(found)}: no error is counted there, and inputs repeat the value before"]


def series_keys(frame: pd.DataFrame, columns: tuple[str, ...], options: DataOptions, place: Place) -> Array:
    """The name of each row's series."""
    if not columns:
        return np.full(len(frame), ONLY, dtype=object)
    texts = [as_texts(frame[name], options.missing).to_pylist() for name in columns]
    for name, column in zip(columns, texts, strict=True):
        if None in column:
            raise DataError(f"{place(column.index(None))}: column '{name}', the series, is empty")
    return np.array([" / ".join(cells) for cells in zip(*texts, strict=True)], dtype=object)


def _going_back(stamps: Array, numbers: Array) -> int:
    """Rows whose time is before that of the row before in their series."""
    order = np.argsort(numbers, kind="stable")
    steps, same = np.diff(stamps[order]), np.diff(numbers[order]) == 0
    return int((same & (steps < 0)).sum())


def _frequency(
    parts: list[Array], dated: bool, options: DataOptions, known: Frequency | None, place: Place
) -> Frequency:
    named = frequency_named(options.frequency) if options.frequency is not None else known
    found = inferred(parts, dated)
    if named is None:
        if found is None:
            raise DataError(f"{place(0)}: no series has two rows, so that its frequency is not known: --frequency")
        return found
    if named.dated != dated:
        kinds = ("dates", "numbers") if named.dated else ("numbers", "dates")
        raise UsageError(f"frequency {named.name} is of {kinds[0]}, but the times are {kinds[1]}")
    return named


@dataclass(frozen=True)
class _Cells:
    """The rows as they were read."""

    values: pd.DataFrame
    stamps: Array
    numbers: Array
    names: list[str]
    dated: bool
    place: Place
    time: str

    def of(self, row: int) -> str:
        """The series of a row in messages: " in series 'A'"; nothing where there is one."""
        name = self.names[self.numbers[row]]
        return f" in series '{name}'" if name != ONLY else ""

    def text(self, stamp: int) -> str:
        return stamp_text(int(stamp), self.dated)

    def without_duplicates(self, order: Array, options: DataOptions, labels_N: Array | None) -> tuple[Array, list[str]]:
        """The rows but for those that say the same as the one before; with ``skip_bad`` also others at its time."""
        stamps, numbers = self.stamps[order], self.numbers[order]
        again = np.zeros(len(order), bool)
        again[1:] = (stamps[1:] == stamps[:-1]) & (numbers[1:] == numbers[:-1])
        if not again.any():
            return order, []
        at = np.flatnonzero(again)
        if labels_N is not None and (apart := labels_N[order[at]] != labels_N[order[at - 1]]).any():
            row, before = int(order[at[apart.argmax()]]), int(order[at[apart.argmax()] - 1])
            raise DataError(
                f"{self.place(row)}: {self.text(self.stamps[row])}{self.of(row)} is in two splits, first in "
                f"{self.place(before)} ({int(apart.sum()):,} such rows in all)"
            )
        former, later = self.values.iloc[order[at - 1]], self.values.iloc[order[at]]
        same = ((former.to_numpy() == later.to_numpy()) | (former.isna().to_numpy() & later.isna().to_numpy())).all(1)
        if not same.all() and not options.skip_bad:
            one = at[(~same).argmax()]
            row, before = int(order[one]), int(order[one - 1])
            tells = " (or --series names the column that tells series apart)" if self.names == [ONLY] else ""
            clock = self._clock_change(int(self.stamps[row]), (10, 11))
            raise DataError(
                f"{self.place(row)}: {self.text(self.stamps[row])} is there twice{self.of(row)}, first in "
                f"{self.place(before)}, with other values ({int((~same).sum()):,} such rows in all): --skip-bad keeps "
                f"the first of each{tells}{clock}"
            )
        what = f"{int(again.sum()):,} rows repeat a time" + ("" if same.all() else ", some with other values")
        return order[~again], [f"{what}: the first of each is kept"]

    def placed(self, rows: Array, frequency: Frequency, moves: bool) -> tuple[Array, int]:
        """The places of a series' rows on its grid, and how many were moved to it."""
        stamps = self.stamps[rows]
        where, exact = frequency.positions(stamps)
        bad = np.flatnonzero(~exact)
        if len(bad) and not moves:
            row = int(rows[bad[0]])
            before = f" (the row before is {self.text(stamps[bad[0] - 1])})" if bad[0] else ""
            raise DataError(
                f"{self.place(row)}: {self.text(self.stamps[row])}{self.of(row)} is not on the grid of "
                f"{frequency.name} that most rows keep{before}; {len(bad):,} such rows: --frequency names a step, to "
                "whose grid stamps are then brought"
            )
        close = np.flatnonzero(np.diff(where) < 1)
        if len(close):
            row = int(rows[close[0] + 1])
            raise DataError(
                f"{self.place(row)}: {self.text(self.stamps[row])}{self.of(row)} is less than one step of "
                f"{frequency.name} after the row before: --frequency names a smaller one"
            )
        return where, len(bad)

    def panel(
        self, order: Array, spans: list[tuple[Any, Any]], places: list[Array], frequency: Frequency, assigned: Assigned,
        gaps: str,
    ) -> tuple[Panel, Array, list[str]]:  # fmt: skip
        """The panel, the origin of its rows, and notes on gaps."""
        origins: list[Array] = []
        stamps: list[Array] = []
        lengths: list[int] = []
        series: list[int] = []
        holes, absent = 0, 0
        for (a, b), where in zip(spans, places, strict=True):
            rows = order[a:b]
            steps = np.diff(where)
            jumps = np.flatnonzero(steps > 1)
            holes, absent = holes + len(jumps), absent + int((steps[jumps] - 1).sum())
            if len(jumps) and gaps == "refuse":
                raise self._gap(rows, where, jumps, frequency, spans, places)
            number = int(self.numbers[rows[0]])
            if len(jumps) and gaps == "fill":
                full = np.full(where[-1] + 1, -1, np.int64)
                full[where] = rows
                origins.append(full)
                stamps.append(frequency.at(int(self.stamps[rows[0]]), np.arange(len(full))))
                lengths.append(len(full))
                series.append(number)
                continue
            for part in np.split(rows, jumps + 1):
                origins.append(part)
                stamps.append(self.stamps[part])
                lengths.append(len(part))
                series.append(number)
        origin = np.concatenate(origins)
        frame = self.values.iloc[np.where(origin < 0, 0, origin)].reset_index(drop=True)
        filled = origin < 0
        if filled.any():
            fixed = [name for name in frame.columns if name not in assigned.roles.static]
            frame = frame.astype({name: object for name in fixed if frame[name].dtype != np.float64})
            frame.loc[filled, fixed] = None
        notes = []
        if holes and gaps == "fill":
            notes.append(f"{holes:,} gaps are filled, {absent:,} rows: no error is counted there, inputs repeat values")
        elif holes:
            notes.append(f"{holes:,} gaps, {absent:,} rows: no window crosses one")
        panel = Panel(
            frame=frame,
            stamps_R=np.concatenate(stamps),
            borders=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            series_P=np.array(series, np.int64),
            names=tuple(self.names),
            roles=assigned.roles,
            frequency=frequency,
            season=1,
            filled_R=filled,
            holes=holes,
        )
        return panel, origin, notes

    def _gap(
        self, rows: Array, where: Array, jumps: Array, frequency: Frequency, spans: list[Any], places: list[Array]
    ) -> DataError:
        at = int(jumps[0])
        row = int(rows[at + 1])
        first = frequency.after(int(self.stamps[rows[at]]), 1)[0]
        missing = int(where[at + 1] - where[at] - 1)
        total = sum(int((np.diff(one) > 1).sum()) for one in places)
        rows_ = sum(int((np.diff(one) - 1).clip(0).sum()) for one in places)
        what = (
            f"{self.text(first)} is missing"
            if missing == 1
            else f"{missing:,} rows from {self.text(first)} are missing"
        )
        clock = self._clock_change(int(first), (3,)) if missing * frequency.count == HOUR else ""
        return DataError(
            f"{self.place(row)}: {what}{self.of(row)} before {self.text(self.stamps[row])} (step {frequency.name}; "
            f"{total:,} gaps, {rows_:,} rows in all): --gaps fill fills them, --gaps split keeps windows on either "
            f"side{clock}"
        )

    def _clock_change(self, stamp: int, months: tuple[int, ...]) -> str:
        """A remark on an hour of a Sunday on which clocks are changed."""
        if not self.dated:
            return ""
        date = np.int64(stamp).astype("datetime64[ns]")
        day = date.astype("datetime64[D]")
        month = int(day.astype("datetime64[M]").astype(np.int64) % 12) + 1
        sunday = (int(day.astype(np.int64)) + 3) % 7 == 6
        hour = int((date - day).astype(np.int64) // HOUR)
        if not (sunday and month in months and hour <= 3 and stamp % DAY):
            return ""
        return (
            "; clocks change on this day: times with their offset from UTC (2020-03-29T03:00+02:00) have no such hour"
        )
