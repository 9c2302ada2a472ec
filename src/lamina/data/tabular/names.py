"""Names of columns: given by number, or lost because a file has no header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lamina.data.options import DataOptions
from lamina.data.tabular.cells import as_texts, plain_number

if TYPE_CHECKING:
    import pandas as pd


def by_number(options: DataOptions, columns: Sequence[str]) -> DataOptions:
    """The options with the names of columns that are given by number: the third is 3, unless a column is called 3."""

    def one(name: str | None) -> str | None:
        return name if name is None else numbered((name,), columns)[0]

    return replace(
        options,
        target=numbered(options.targets, columns) or None,
        text=one(options.text),
        group=one(options.group),
        keep=numbered(options.keep, columns),
        categorical=numbered(options.categorical, columns),
        drop=numbered(options.drop, columns),
        time=one(options.time),
        series=numbered(options.series, columns),
        known=numbered(options.known, columns),
        static=numbered(options.static, columns),
        past=numbered(options.past, columns),
    )


def numbered(names: tuple[str, ...], columns: Sequence[str]) -> tuple[str, ...]:
    """The names, those given by number replaced."""
    return tuple(
        columns[int(name) - 1]
        if name not in columns and name.isascii() and name.isdigit() and 0 < int(name) <= len(columns)
        else name
        for name in names
    )


def header_note(frame: pd.DataFrame) -> str:
    """A note if the names of the columns look like a row of data; else ""."""
    from pandas.api import types

    for name in map(str, frame.columns):
        series = frame[name]
        if types.is_numeric_dtype(series.dtype):
            alike = plain_number(name) is not None
        else:
            alike = name in as_texts(series.drop_duplicates()).to_pylist()
        if alike:
            return (
                f"the first line looks like data ('{name}' is the name of a column): if it is, --header no reads it as "
                "a row and calls the columns 1, 2, 3, ..."
            )
    return ""
