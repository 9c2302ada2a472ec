"""Sources of table rows with typed input columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lamina.data.fingerprints import of_frame
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import complete
from lamina.data.table.samples import Table
from lamina.data.tabular.columns import Place, Typed, typed
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
    kinds, notes = _roles(columns, sizes, options)
    labels = replace(labels, notes=labels.notes + notes)
    frame = pd.DataFrame({column: found.values for column, found in columns.items()})
    spec = DataSpec(
        name=name,
        kind="table",
        **labels.facts(),
        columns=tuple(Column(name=column, kind=kinds.get(column, found.kind)) for column, found in columns.items()),
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


def _roles(
    columns: Mapping[str, Typed], sizes: Mapping[str, int], options: DataOptions
) -> tuple[dict[str, Literal["index"]], tuple[str, ...]]:
    """The kinds of columns that are no inputs, and notes on them."""
    kinds: dict[str, Literal["index"]] = {}
    notes = []
    for name, column in columns.items():
        if name in options.keep:
            continue
        if numbers_rows(name, column, sizes):
            kinds[name] = "index"
            notes.append(f"column '{name}' numbers the rows: left out (--keep '{name}' makes it an input)")
        elif counts_rows(name, column, sizes):
            notes.append(
                f"column '{name}' holds a different whole number in each row, like a row number, and is used as an "
                f"input: check it, or leave it out with --drop '{name}'"
            )
    return kinds, tuple(notes)
