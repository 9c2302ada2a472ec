"""Sources of series: rows read as a panel and divided by time within each series, or by series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.data.fingerprints import of_frame
from lamina.data.options import DataOptions
from lamina.data.partition import grouped_parts
from lamina.data.series.counting import count_back, with_life
from lamina.data.series.panel import LABELS, ONLY, UNUSED, Array, Panel, Series, of_labels
from lamina.data.series.regular import Regular, regular
from lamina.data.series.roles import assign
from lamina.data.series.stamps import stamp_text
from lamina.data.source import Source
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import named
from lamina.data.tabular.reading import Place
from lamina.data.targets.labels import SERIES_TASKS
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

FORECASTING = SERIES_TASKS[0]


def wants_series(options: DataOptions) -> bool:
    """Whether the options ask for a table to be read as series."""
    return options.task in SERIES_TASKS or bool(options.of_series)


def rows_options(options: DataOptions) -> DataOptions:
    """The options for reading the rows of a table of series: its groups are series, which have no rows of their own."""
    return replace(options, group=None)


def series_source(
    name: str,
    frame: pd.DataFrame,
    sizes: Mapping[str, int],
    place: Place,
    options: DataOptions,
    notes: tuple[str, ...] = (),
    licence: str = "",
) -> Source:
    """A source of series from the rows of a table; ``sizes`` are those of splits that the table has of its own.

    Raises UsageError for options that series do not have, DataError for stamps that no series has, see ``regular``.
    """
    _expect_fit(name, options)
    frame, options, said = with_life(name, frame, options)
    own = np.repeat([LABELS.index(split) for split in sizes], list(sizes.values())) if len(sizes) > 1 else None
    read = regular(frame, assign(frame, place, options), place, options, labels_N=own)
    count_back(read.panel)
    labels = None if own is None else _own_labels(read, own)
    return panel_source(name, read.panel, options, labels, (*notes, *said, *read.notes), licence)


def panel_source(
    name: str,
    panel: Panel,
    options: DataOptions,
    label_R: Array | None = None,
    notes: tuple[str, ...] = (),
    licence: str = "",
    task: str = FORECASTING,
) -> Source:
    """A source of a panel, ``label_R`` the splits of its rows where it has its own (see ``panel.of_labels``)."""
    label_R, said = _labels(name, panel, options, label_R)
    splits = of_labels(panel, label_R)
    if options.limit is not None:
        splits["train"] = _limited(splits["train"], options.limit)
    roles = panel.roles
    kinds = {column: "numeric" if panel.frame[column].dtype == np.float64 else "categorical" for column in roles.values}
    frame = panel.frame.assign(**{"\0stamps": panel.stamps_R, "\0series": np.array(panel.names)[panel.series_of]})
    spec = DataSpec(
        name=name,
        kind="series",
        task=options.task if options.task in SERIES_TASKS else task,
        targets=roles.targets,
        columns=tuple(Column(name=column, kind=kind) for column, kind in kinds.items()),  # type: ignore[arg-type]
        counted="rows",
        missing=options.missing,
        fingerprint=of_frame(frame, None),
        licence=licence,
        notes=(*notes, *said),
        group=options.group or "",
    )
    return named(spec, splits, options)


def _expect_fit(name: str, options: DataOptions) -> None:
    for option in ("normal", "folds", "text"):
        if getattr(options, option) is not None:
            raise UsageError(f"{option} (--{option}) is not for series: {name} is divided by time")
    if options.languages:
        raise UsageError(f"languages (--languages) are not for series: {name} holds series")


def _own_labels(read: Regular, labels: Array) -> Array:
    """The split of each row of the panel, where the file has its own. Raises DataError for a series whose splits are
    not one after the other."""
    panel = read.panel
    label_R = np.where(read.origin_R < 0, -1, labels[np.maximum(read.origin_R, 0)])
    for number, name in enumerate(panel.names):
        rows = panel.rows_of(number)
        for at in np.flatnonzero(label_R[rows] < 0):  # a filled row is of the split before
            label_R[rows[at]] = label_R[rows[at - 1]]
        back = np.flatnonzero(np.diff(label_R[rows]) < 0)
        if len(back):
            row, later = rows[back[0]], rows[back[0] + 1]
            which = f"series '{name}'" if name != ONLY else "the series"
            when = stamp_text(int(panel.stamps_R[later]), panel.frequency.dated)
            raise DataError(
                f"{which} is in {LABELS[label_R[row]]} and, after that, at {when} in {LABELS[label_R[later]]}: the "
                "splits of a series follow each other in time, or a series is in one of them"
            )
    return label_R


def _labels(name: str, panel: Panel, options: DataOptions, own_R: Array | None) -> tuple[Array, list[str]]:
    """The split of each row, and notes on the division."""
    if not options.teaches:
        return (np.zeros(len(panel.stamps_R), np.int64) if own_R is None else own_R), []
    if own_R is not None:
        if options.rows:
            raise UsageError(f"rows (--rows) divides the data, but {name} has splits of its own")
        return _completed(name, panel, options, own_R)
    if options.group is not None:
        _expect_no_rows(options)
        units = _units(panel, options.group)
        return _by_unit(name, panel, options, units, np.zeros(len(panel.stamps_R), np.int64)), [
            f"divided by {options.group}: each is in one split"
        ]
    if options.rows:
        return _by_rows(name, panel, options.rows)
    label_R = np.zeros(len(panel.stamps_R), np.int64)
    for series in range(len(panel.names)):
        rows = panel.rows_of(series)
        test, validation = (
            max(1, round(share * len(rows))) if share else 0 for share in (options.test, options.validation)
        )
        label_R[rows[len(rows) - test :]] = 2
        label_R[rows[max(0, len(rows) - test - validation) : len(rows) - test]] = 1
    what = "each series is" if len(panel.names) > 1 else "the series is"
    return label_R, [f"{what} divided by time: the first rows train, the last test"]


def _expect_no_rows(options: DataOptions) -> None:
    if options.rows:
        raise UsageError("rows (--rows) divides by time, group (--group) by series: give one of them")


def _by_rows(name: str, panel: Panel, counts: tuple[int, ...]) -> tuple[Array, list[str]]:
    label_R = np.full(len(panel.stamps_R), UNUSED, np.int64)
    unused, total = 0, sum(counts)
    for series, called in enumerate(panel.names):
        rows = panel.rows_of(series)
        if len(rows) < total:
            which = f"series '{called}' of {name}" if called != ONLY else name
            raise UsageError(f"rows (--rows) asks for {total:,} rows, but {which} has {len(rows):,}")
        label_R[rows[:total]] = np.repeat([0, 1, 2], counts)
        unused += len(rows) - total
    return label_R, [f"the last {unused:,} rows are not used (--rows)"] if unused else []


def _units(panel: Panel, column: str) -> Array:
    """The unit of each series: itself, or the value of a static column."""
    roles = panel.roles
    if column in roles.series:
        if len(roles.series) == 1:
            return np.arange(len(panel.names))
        parts = [called.split(" / ")[roles.series.index(column)] for called in panel.names]
        return np.unique(parts, return_inverse=True)[1]
    if column not in roles.static:
        raise unknown("group column", column, (*roles.series, *roles.static))
    first = [panel.rows_of(series)[0] for series in range(len(panel.names))]
    return np.unique(panel.frame[column].iloc[first].astype(str).to_numpy(), return_inverse=True)[1].reshape(-1)


def _by_unit(name: str, panel: Panel, options: DataOptions, units: Array, label_R: Array) -> Array:
    """Whole units of train moved to the missing splits, by ``split_seed``."""
    wanted = {
        split: share
        for split, share in (("validation", options.validation), ("test", options.test))
        if share and not (label_R == LABELS.index(split)).any()
    }
    series_R = panel.series_of
    in_train = label_R == 0
    groups = np.unique(units[series_R[in_train]], return_inverse=True)[1]
    count = int(groups.max()) + 1
    if not wanted:
        return label_R
    if count <= len(wanted):
        raise UsageError(
            f"{name} has {count} series to train on: too few to divide by series into {len(wanted) + 1} parts"
        )
    shares = (*wanted.values(), 1 - sum(wanted.values()))
    parts = grouped_parts(torch.from_numpy(groups.reshape(-1)), shares, None, options.split_seed).numpy()
    codes = np.array([LABELS.index(split) for split in wanted] + [0])
    label_R = label_R.copy()
    label_R[in_train] = codes[parts]
    return label_R


def _completed(name: str, panel: Panel, options: DataOptions, label_R: Array) -> tuple[Array, list[str]]:
    """Splits of the file's own, with validation and test taken from train where they are missing: whole series where
    those of train are in no other split, else the last rows of each."""
    series_R = panel.series_of
    of_train = set(series_R[label_R == 0].tolist())
    apart = len(of_train) > 1 and not of_train & set(series_R[label_R > 0].tolist())
    if options.group is not None or (apart and (label_R > 0).any()):
        units = np.arange(len(panel.names)) if options.group is None else _units(panel, options.group)
        shared = set(units[series_R[label_R == 0]]) & set(units[series_R[label_R > 0]])
        if options.group is not None and shared:
            called = panel.names[int(np.flatnonzero(units == min(shared))[0])]
            raise DataError(f"{name}: '{called}' of column '{options.group}' is in train and in another split")
        return _by_unit(name, panel, options, units, label_R), ["whole series are in train, validation or test"]
    label_R = label_R.copy()
    wanted = [
        (LABELS.index(split), share)
        for split, share in (("test", options.test), ("validation", options.validation))
        if share and not (label_R == LABELS.index(split)).any()
    ]
    for series in of_train:
        rows = panel.rows_of(series)
        rows = rows[label_R[rows] == 0]
        total = len(rows)
        for number, share in wanted:
            count = max(1, round(share * total))
            label_R[rows[len(rows) - count :]] = number
            rows = rows[: len(rows) - count]
    return label_R, []


def _limited(train: Series, limit: int) -> Series:
    """The latest ``limit`` rows of each series."""
    low_P = train.low_P.copy()
    for series in range(len(train.panel.names)):
        left = limit
        for part in np.flatnonzero(train.panel.series_P == series)[::-1]:
            taken = min(left, int(train.high_P[part] - train.low_P[part]))
            low_P[part] = train.high_P[part] - taken
            left -= taken
    return replace(train, low_P=low_P)
