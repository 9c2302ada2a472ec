"""Reading of tables: CSV, TSV, Parquet, JSON lines, JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lamina.data.options import DataOptions
from lamina.data.tabular.jsons import read_json, read_json_lines
from lamina.data.tabular.separated import read_separated
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PLAIN_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (*PLAIN_SUFFIXES, *(f"{suffix}.gz" for suffix in PLAIN_SUFFIXES), ".parquet", ".pq")


def is_table(path: Path) -> bool:
    return path.name.casefold().endswith(TABLE_SUFFIXES)


def has_header(path: Path) -> bool:
    """Whether the names of the columns are the first line of a file."""
    return path.name.casefold().removesuffix(".gz").endswith((".csv", ".tsv"))


def read_frame(path: Path, options: DataOptions) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table file, its cells as they stand in the file (``reading.read_columns`` makes values of them), and notes on
    how it was read.

    Raises DataError, naming the file and if possible the line, for damage, text in another encoding, and tables without
    rows or columns.
    """
    import pandas as pd

    name = path.name.casefold().removesuffix(".gz")
    notes: tuple[str, ...] = ()
    try:
        if name.endswith((".parquet", ".pq")):
            frame = pd.read_parquet(path)
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
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    if frame.empty:
        raise DataError(f"'{path}' has no rows")
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise DataError(f"'{path}' has two columns called '{duplicates[0]}'")
    return frame.reset_index(drop=True), notes
