"""Reading of tables: CSV, TSV, Parquet, JSON lines, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.memory import expect_room, file_sizes
from lamina.data.options import DataOptions
from lamina.data.spec import SPLIT_NAMES
from lamina.data.tabular.jsons import read_json, read_json_lines
from lamina.data.tabular.separated import read_separated
from lamina.data.tabular.stored import read_parquet, table_bytes
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PLAIN_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
TABLE_SUFFIXES = (*PLAIN_SUFFIXES, *(f"{suffix}.gz" for suffix in PLAIN_SUFFIXES), *PARQUET)


def is_table(path: Path) -> bool:
    return path.name.casefold().endswith(TABLE_SUFFIXES)


def is_table_of_data(path: Path) -> bool:
    """Whether a file that is found in a folder is a table of data: JSON, which often describes a folder, only if it is
    called data or like a split."""
    stem, *suffixes = path.name.casefold().split(".")
    return is_table(path) and ("json" not in suffixes or stem == "data" or stem in SPLIT_NAMES)


def has_header(path: Path) -> bool:
    """Whether the names of the columns are the first line of a file."""
    return path.name.casefold().removesuffix(".gz").endswith((".csv", ".tsv"))


def expect_memory(paths: Sequence[Path]) -> None:
    """Raise DataError for tables that cannot fit into memory, of which all are read."""
    sizes = file_sizes(paths)
    expect_room({path: _bytes_of(path, size) for path, size in sizes.items()}, "a table")


def _bytes_of(path: Path, size: int) -> int:
    if not path.name.casefold().endswith(PARQUET):
        return size
    try:
        return table_bytes(path)
    except Exception:  # of many kinds: reading it gives the message
        return 0


def read_frame(path: Path, options: DataOptions) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table file, its cells as they stand in the file (``reading.read_columns`` makes values of them), and notes on
    how it was read.

    Raises DataError, naming the file and if possible the line, for damage, text in another encoding, and tables without
    rows or columns.
    """
    name = path.name.casefold().removesuffix(".gz")
    notes: tuple[str, ...] = ()
    try:
        if name.endswith(PARQUET):
            frame, notes = read_parquet(path)
        elif name.endswith((".jsonl", ".ndjson")):
            frame = read_json_lines(path, options)
        elif name.endswith(".json"):
            frame = read_json(path, options)
        else:
            frame, notes = read_separated(path, options)
    except DataError:
        raise
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error
    return checked(frame, f"'{path}'"), notes


def checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table with columns named by strings and rows numbered from 0. Raises DataError for one without rows or columns,
    and for two columns of one name."""
    import pandas as pd

    frame = frame.set_axis(pd.Index([str(column).strip() for column in frame.columns]), axis=1)
    if frame.empty:
        raise DataError(f"{name} has no rows")
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise DataError(f"{name} has two columns called '{duplicates[0]}'")
    return frame.reset_index(drop=True)


def as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """A data frame with the values that a CSV file of it holds: dates, times and periods as text, numbers of single
    precision as their shortest decimals (0.1, where their own value is 0.10000000149)."""
    return frame.apply(_as_written) if len(frame.columns) else frame


def _as_written(series: pd.Series[Any]) -> pd.Series[Any]:
    from pandas.api import types

    if types.is_object_dtype(series.dtype) or types.is_string_dtype(series.dtype):
        return series
    if types.is_float_dtype(series.dtype) and getattr(series.dtype, "itemsize", 8) < 8:
        return series.astype(str).astype("float64")
    if isinstance(series.dtype, types.CategoricalDtype) or types.is_numeric_dtype(series.dtype):  # booleans, too
        return series
    return series.astype(str).where(series.notna(), None)
