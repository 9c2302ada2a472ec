"""Rows given to predict, as a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lamina.data.options import DataOptions
from lamina.data.tabular.frames import as_written, is_table, read_frame
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

EXPECTED = "rows must be a dictionary, a list of these, a data frame, an array or the path of a table"


def array_columns(names: Sequence[str]) -> int | None:
    """The number of columns, if they are those of an array: x0, x1, ...; else None."""
    return len(names) if list(names) == [f"x{k}" for k in range(len(names))] else None


def rows_item(item: object, options: DataOptions, columns: Sequence[str], width: int | None) -> tuple[Any, str]:
    """The data frame, and its name in messages: of a dictionary, a row of a frame, a list of rows, a data frame, an
    array or tensor (F,) or (N, F), or the path of a table.

    ``options`` are for reading a file. ``width`` is the number of columns of the arrays that the model was trained on;
    None for named ``columns``, which an array lacks. Raises UsageError, and DataError for an array of another width.
    """
    import pandas as pd

    if isinstance(item, str | Path):
        return _read(item, options)
    if isinstance(item, list | tuple):
        if not item:
            raise UsageError("nothing to predict: the list of rows is empty")
        if all(isinstance(row, Mapping | pd.Series) for row in item):
            item = pd.DataFrame([dict(row) for row in item])
            return as_written(item), "the list"
        item = _array(item)
    if isinstance(item, Mapping | pd.Series):
        return as_written(pd.DataFrame([dict(item)])), "the row"
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu().numpy()
    if isinstance(item, np.ndarray):
        return _of_array(item, columns, width), "the array"
    if hasattr(item, "to_pandas"):
        item = item.to_pandas()
    if not isinstance(item, pd.DataFrame):
        raise UsageError(f"{EXPECTED}, not {type(item).__name__}")
    return as_written(item.reset_index(drop=True)), "the data frame"


def _read(item: str | Path, options: DataOptions) -> tuple[Any, str]:
    path = Path(item).expanduser()
    if not path.is_file():
        raise UsageError(f"no such file: {item}")
    if not is_table(path):
        raise UsageError(f"'{item}' is not a table (CSV, TSV, Parquet, JSON lines or JSON)")
    return read_frame(path, options)[0], path.name


def _array(rows: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Rows of numbers, in lists or arrays, or the numbers of one row."""
    try:
        array = np.array([row.tolist() if isinstance(row, np.ndarray | torch.Tensor) else row for row in rows])
    except ValueError:
        raise UsageError(f"{EXPECTED}; the rows of a list must be of one length") from None
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{EXPECTED}, not a list of {type(rows[0]).__name__}")
    return array


def _of_array(array: np.ndarray[Any, Any], columns: Sequence[str], width: int | None) -> pd.DataFrame:
    import pandas as pd

    if width is None:
        listed = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
        raise UsageError(f"the model was trained on named columns: give a data frame or dictionaries with {listed}")
    if array.ndim not in (1, 2):
        raise UsageError(f"an array of rows has one axis (F,) or two (N, F), but this one has {array.ndim}")
    array = array[None] if array.ndim == 1 else array
    if array.shape[1] != width:
        raise DataError(f"the array has {array.shape[1]} columns, but the model was trained on {width}")
    return pd.DataFrame(array, columns=[f"x{k}" for k in range(width)])
