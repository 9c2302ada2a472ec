"""Sources of table rows with typed input columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lamina.data.fingerprints import of_frame
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import complete
from lamina.data.table.samples import Table
from lamina.data.tabular.columns import Place, Typed, typed
from lamina.data.tabular.dates import PARTS, date_order
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
    return complete(spec, splits, options, labels.groups)


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
