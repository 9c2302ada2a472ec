"""Sources of table rows with typed input columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from lamina.data.fingerprints import of_frame
from lamina.data.options import DataOptions
from lamina.data.source import Source, targets_of
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import complete
from lamina.data.table.samples import Table
from lamina.data.tabular.columns import Place, Typed, typed
from lamina.data.tabular.dates import PARTS, date_order
from lamina.data.tabular.leaks import determines
from lamina.data.tabular.roles import counts_rows, numbers_rows
from lamina.data.tabular.rows import known_columns
from lamina.data.targets.labels import Labels
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def table_source(
    name: str,
    inputs: pd.DataFrame,
    sizes: Mapping[str, int],
    labels: Labels,
    place: Place,
    options: DataOptions,
    licence: str = "",
) -> Source:
    """A source of rows; input columns are typed as numeric or categorical."""
    import pandas as pd

    if not len(inputs.columns):
        raise DataError(f"{name} has no column besides the target")
    known_columns(options.categorical + options.keep, [*inputs.columns, *labels.names])
    columns = {
        str(column): typed(inputs[column], place, categorical=column in options.categorical, options=options)
        for column in inputs.columns
    }
    dates = {
        name: order
        for name, one in columns.items()
        if one.kind == "categorical"
        and name not in options.categorical
        and (order := date_order(one.values, place, options.day_first)) is not None
    }
    found = {name: _role(name, one, sizes, dates.get(name), options) for name, one in columns.items()}
    labels = replace(labels, notes=labels.notes + tuple(note for _, note in found.values() if note))
    if dates and len(sizes) == 1 and options.teaches and options.group is None:
        times = ", ".join(f"'{name}'" for name in dates)
        note = (
            f"rows are divided into train, validation and test at random, although {times} holds dates: for series "
            f"give --time {next(iter(dates))} and --horizon, which divide by time, and a model of series"
        )
        labels = replace(labels, notes=(*labels.notes, note))
    frame = pd.DataFrame({column: one.values for column, one in columns.items()})
    spec = DataSpec(
        name=name,
        kind="table",
        **labels.facts(),
        columns=tuple(column for column, _ in found.values()),
        date_orders=dates,
        missing=options.missing,
        fingerprint=of_frame(frame, labels.values),
        licence=licence,
    )
    splits, start = {}, 0
    for split, count in sizes.items():
        part = frame.iloc[start : start + count].reset_index(drop=True)
        splits[split] = Table(part, labels.take(slice(start, start + count)))
        start += count
    source = complete(spec, splits, options, labels.groups)
    return _with_leaks(source) if options.teaches else source


def _with_leaks(source: Source) -> Source:
    """The source with notes on columns that alone determine the target in the training data."""
    spec, train = source.spec, source.splits["train"]
    targets = targets_of(train)
    inputs = [column.name for column in spec.columns if column.kind != "index"]
    if (
        targets is None
        or len(inputs) < 2
        or not (targets.ndim == 1 or targets.shape[1] == 1)
        or spec.task == "multilabel"
    ):
        return source
    found = [name for name in inputs if determines(cast(Table, train).frame[name], targets.reshape(-1).numpy())]
    notes = (
        f"column '{name}' alone determines the target in all {len(train):,} training rows: check that it is known "
        f"before the target is, or leave it out with --drop '{name}'"
        for name in found
    )
    return replace(source, spec=replace(spec, notes=(*spec.notes, *notes)))


def _role(
    name: str, column: Typed, sizes: Mapping[str, int], order: str | None, options: DataOptions
) -> tuple[Column, str]:
    """The type of a column as an input, and a note on one that is no ordinary input."""
    plain = Column(name=name, kind=column.kind)
    if name in options.keep and order is None:
        return plain, ""
    if order is not None:
        note = f"column '{name}' holds dates: its inputs are those of {', '.join(PARTS)} that vary"
        if order == "unclear":
            note = (
                f"column '{name}' holds dates whose day and month could be either: left out (--day-first or "
                "--no-day-first says which comes first)"
            )
        return Column(name=name, kind="date"), note
    if numbers_rows(name, column, sizes):
        note = f"column '{name}' numbers the rows: left out (--keep '{name}' makes it an input)"
        return Column(name=name, kind="index"), note
    if counts_rows(name, column, sizes):
        return plain, (
            f"column '{name}' holds a different whole number in each row, like a row number, and is used as an input: "
            f"check it, or leave it out with --drop '{name}'"
        )
    return plain, ""
