"""JSON as a table: an object in each line, an array of objects, or an array for each column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.options import DataOptions
from lamina.data.tabular.separated import decoded
from lamina.data.text_files import read_bytes
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_json_lines(path: Path, options: DataOptions) -> pd.DataFrame:
    """A table of one object in each line. Raises DataError with the line."""
    rows = []
    for number, line in enumerate(_text(path, options).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"'{path}', line {number}: no valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"'{path}', line {number}: not an object with named values")
        rows.append(row)
    return _frame(rows)


def read_json(path: Path, options: DataOptions) -> pd.DataFrame:
    """A table from an array of objects, also as the only array in an object, or from an object of arrays of equal
    length. Raises DataError."""
    import pandas as pd

    try:
        found = json.loads(_text(path, options))
    except ValueError as error:
        raise DataError(f"'{path}': no valid JSON ({error})") from error
    if isinstance(found, dict):
        arrays = {name: value for name, value in found.items() if isinstance(value, list)}
        tables = [value for value in arrays.values() if value and all(isinstance(row, dict) for row in value)]
        if len(arrays) == len(found) and not tables and len(set(map(len, arrays.values()))) == 1:
            return pd.DataFrame({name: pd.Series(value, dtype=object) for name, value in arrays.items()})
        if len(tables) == 1:
            found = tables[0]
    if not isinstance(found, list):
        raise DataError(f"'{path}' holds no array of objects, nor arrays of equal length by name")
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise DataError(f"'{path}', row {number}: not an object with named values")
    return _frame(found)


def _text(path: Path, options: DataOptions) -> str:
    return decoded(read_bytes(path, options.max_extracted_bytes), path, options.encoding)


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The values as they are: no integer becomes a float because another row lacks it."""
    import pandas as pd

    names = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
