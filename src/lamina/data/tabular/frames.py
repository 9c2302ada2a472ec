"""Reading of tables: CSV, TSV, Parquet, JSON lines."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from lamina.data.text_files import decoded, read_bytes
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".jsonl", ".ndjson")


def is_table(path: Path) -> bool:
    return path.name.casefold().endswith(TABLE_SUFFIXES)


def read_frame(path: Path, missing: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
    """A table file, its values as read. ``missing`` are additional strings for missing values. Columns in ``texts`` are
    read as text only, without numbers or missing values.

    A CSV file without a comma in its header is split at semicolons or tabs. In a tab-separated file quotation marks
    are ordinary text if a line has an odd number of them but all lines have the same number of cells. Raises
    DataError, naming the file and if possible the row, for damage, text that is not UTF-8, and tables without rows or
    columns.
    """
    import pandas as pd

    name = path.name.casefold()
    try:
        if name.endswith((".parquet", ".pq")):
            frame = pd.read_parquet(path)
        elif name.endswith((".jsonl", ".ndjson")):
            frame = _json_lines(path)
        else:
            frame = _separated(path, "\t" if ".tsv" in name else ",", missing, texts)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        decoded(read_bytes(path), path)  # raises with the position in the file, not in a chunk
        raise DataError(f"'{path}' is not UTF-8 text: {error.reason}") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"'{path}' is empty") from error
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error
    frame.columns = pd.Index([str(column) for column in frame.columns])
    if frame.empty:
        raise DataError(f"'{path}' has no rows")
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise DataError(f"'{path}' has two columns called '{duplicates[0]}'")
    frame = frame.reset_index(drop=True)
    return frame.mask(frame.isin(list(missing))) if missing else frame


def _separated(path: Path, usual: str, missing: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    separator = _separator(path, usual)
    quoting = csv.QUOTE_NONE if separator == "\t" and _unquoted(path) else csv.QUOTE_MINIMAL
    form: dict[str, Any] = {"sep": separator, "quoting": quoting, "encoding": "utf-8-sig", "low_memory": False}
    frame: pd.DataFrame = pd.read_csv(path, na_values=list(missing), **form)
    for column in set(texts) & set(frame.columns):
        frame[column] = pd.read_csv(path, usecols=[column], dtype=str, keep_default_na=False, **form)[column]
    return frame


def _separator(path: Path, usual: str) -> str:
    with _opened(path) as file:
        head = file.readline(1 << 20)
        counts = {mark: len(next(csv.reader([head], delimiter=mark), [])) for mark in (usual, ",", ";", "\t")}
        separator = usual if counts[usual] > 1 else max(counts, key=lambda mark: counts[mark])
        if len(next(csv.reader(file, delimiter=separator), [])) > counts[separator]:
            # pandas would use the first cells as row names and shift every value by a column
            raise DataError(f"'{path}': rows have more cells than the header has columns")
    return separator


def _unquoted(path: Path) -> bool:
    """Whether quotation marks in a tab-separated file are ordinary text: they are unpaired, and no cell spans lines."""
    odd, tabs = False, set()
    with _opened(path) as file:
        for line in file:
            tabs.add(line.count("\t"))
            odd = odd or line.count('"') % 2 == 1
    return odd and len(tabs) == 1


def _opened(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix.casefold() == ".gz" else open
    return cast("IO[str]", opener(path, "rt", encoding="utf-8-sig", newline=""))


def _json_lines(path: Path) -> pd.DataFrame:
    import pandas as pd

    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"'{path}', line {number}: no valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"'{path}', line {number}: not an object with named values")
            rows.append(row)
    return pd.DataFrame.from_records(rows)
