"""Columns with a role of their own: the split of each row, and row numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.spec import SPLIT_NAMES
from lamina.data.tabular.columns import Place, Typed, shown
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

DIVIDING = ("split", "splits", "data_split", "dataset_split", "train_test_split")
"""names of columns that divide the data and nothing else, in lower case"""
OFTEN_DIVIDING = ("set", "dataset", "data_set", "subset", "fold", "folds", "partition", "phase")
"""names of columns that often divide the data, in lower case"""
ROW_NUMBERS = ("", "id", "_id", "idx", "index", "level_0", "row", "rowid", "row_id", "rowname", "rownames", "#")
"""names of columns of row numbers, in lower case"""
UNNAMED = "unnamed:"
"""how pandas names a column without a header, in lower case"""
MOST_PROBED = 100
"""values of a column looked at before all of them are"""
FEWEST_COUNTED = 20
"""rows from which a column that counts them cannot do so by chance"""


def split_column(frame: pd.DataFrame, options: DataOptions, place: Place) -> str | None:
    """The column that divides the rows: the one named by ``split_column``, else the only one that holds names of splits
    alone (train, val, test, ... in any case), train among them or under a usual name such as split or set.

    Raises UsageError for an unknown column and if several divide the rows, DataError for a column called split that
    holds something else.
    """
    columns = [str(name) for name in frame.columns]
    given = options.split_column
    if given not in ("auto", "none"):
        if given not in columns:
            raise unknown("split column", given, columns)
        return given
    free = [name for name in columns if name not in _named(options)]
    if given == "none":
        return None
    found = [name for name in free if _divides(frame[name], name)]
    if len(found) > 1:
        raise UsageError(
            f"{place(0)}: columns {' and '.join(map(repr, found))} both divide the data: name the one to use with "
            "--split-column, or none"
        )
    for name in free if not found else ():
        if _plain(name) in DIVIDING and frame[name].notna().any():
            splits_of(frame[name], place)  # raises with the row, unless there are names of splits alone
    return found[0] if found else None


def splits_of(series: pd.Series[Any], place: Place) -> np.ndarray[Any, Any]:
    """The split of each row: "train", "validation" or "test"; None for an empty cell. Raises DataError, naming the row,
    for another value."""
    names = {value: None if missing else SPLIT_NAMES.get(_plain(value), "") for value, missing in _distinct(series)}
    wrong = [value for value, name in names.items() if name == ""]
    if wrong:
        row = int((series == wrong[0]).to_numpy().argmax())
        column = series.name
        raise DataError(
            f"{place(row)}: column '{column}' holds {shown(wrong[0])}, expected train, validation or test (if it does "
            f"not divide the data: --drop {column} leaves it out, --keep {column} makes it an input)"
        )
    return series.map(names, na_action="ignore").astype(object).where(series.notna(), None).to_numpy()


def undivided_notes(frame: pd.DataFrame, options: DataOptions) -> list[str]:
    """Notes on columns that are called like a division of the data and hold none that is known."""
    return [
        f"column '{name}' is called like a division of the data but does not hold train, validation or test alone: it "
        f"is used like any other column (--drop '{name}' leaves it out)"
        for name in map(str, frame.columns)
        if _plain(name) in OFTEN_DIVIDING and name not in _named(options)
    ]


def is_row_number(name: str) -> bool:
    """Whether a column is called like one of row numbers."""
    return _plain(name) in ROW_NUMBERS or _plain(name).startswith(UNNAMED)


def without_row_numbers(frame: pd.DataFrame, options: DataOptions, used: str | None) -> pd.DataFrame:
    """The columns that are not called like row numbers, or that the options name, or ``used``."""
    wanted = {*_named(options), used}
    return frame[[name for name in frame.columns if str(name) in wanted or not is_row_number(str(name))]]


def numbers_rows(name: str, column: Typed, sizes: Mapping[str, int]) -> bool:
    """Whether a column is called like one of row numbers and holds a different whole number in each row of a file."""
    return is_row_number(name) and column.integral and not column.boolean and _by_part(column, sizes, _different)


def counts_rows(name: str, column: Typed, sizes: Mapping[str, int]) -> bool:
    """Whether a column of any name counts the rows (1, 2, 3, ... in any order), or is called an id and holds a
    different whole number in each row."""
    if not column.integral or column.boolean or len(column.values) < FEWEST_COUNTED:
        return False
    called_id = name.endswith(("ID", "Id", "_id", "-id", " id", ".id"))
    return _by_part(column, sizes, _different if called_id else _consecutive)


def _by_part(column: Typed, sizes: Mapping[str, int], holds: Any) -> bool:
    """Whether it holds of all rows, or of the rows of each split (files that each count from 1)."""
    values = column.values.to_numpy(dtype=np.float64)
    ends = np.cumsum(list(sizes.values()))[:-1]
    return bool(holds(values) or all(holds(part) for part in np.split(values, ends)))


def _different(values: np.ndarray[Any, Any]) -> bool:
    return not np.isnan(values).any() and len(np.unique(values)) == len(values)


def _consecutive(values: np.ndarray[Any, Any]) -> bool:
    return _different(values) and values.max() - values.min() == len(values) - 1 and values.min() in (0, 1)


def _divides(series: pd.Series[Any], name: str) -> bool:
    from pandas.api import types

    if types.is_numeric_dtype(series.dtype) or types.is_datetime64_any_dtype(series.dtype):
        return False
    present = series.dropna()
    if not len(present) or not all(_plain(value) in SPLIT_NAMES for value in present.head(MOST_PROBED)):
        return False
    found = {SPLIT_NAMES.get(_plain(value)) for value in present.unique()}
    if None in found:
        return False
    return _plain(name) in (*DIVIDING, *OFTEN_DIVIDING) or (len(found) > 1 and "train" in found)


def _distinct(series: pd.Series[Any]) -> list[tuple[Any, bool]]:
    distinct = series.drop_duplicates()
    return list(zip(distinct.tolist(), distinct.isna().tolist(), strict=True))


def _named(options: DataOptions) -> Sequence[str]:
    """Columns whose use is named by another option."""
    named = [name for name in (options.text, options.group) if name is not None]
    return (*options.targets, *named, *options.languages, *options.categorical, *options.keep)


def _plain(value: object) -> str:
    return str(value).strip().casefold()
