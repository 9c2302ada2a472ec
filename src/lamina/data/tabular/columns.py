"""Column types: numeric (float64, missing values NaN) or categorical (text, missing values None)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Place = Callable[[int], str]
"""describes the location of a row: ``place(0)`` is "data.csv, row 1" (counted from 1, without the header)"""

MOSTLY_NUMBERS = 0.9
"""share of numbers above which a text in a column is an error rather than a category"""
FEW_CATEGORIES = 20
"""a column with at most this many distinct texts is never treated as names or free text"""


@dataclass(frozen=True)
class Typed:
    """A typed column."""

    kind: Literal["numeric", "categorical"]
    values: pd.Series[Any]
    integral: bool = False
    """numeric: every value was read as an integer (also if empty cells turned integers into floats)"""
    boolean: bool = False


def typed(series: pd.Series[Any], place: Place, *, categorical: bool = False) -> Typed:
    """Determine whether a column is numeric or categorical, and convert it.

    Booleans are numeric; dates are categorical; texts that are all numbers are numeric. Raises DataError, with column,
    row and value, if at least 90 % of the present values are numbers and one is not, and for infinite numbers and
    nested values (lists, dictionaries).

    Example: ``typed(frame["age"], lambda row: f"people.csv, row {row + 1}").kind``
    """
    import pandas as pd
    from pandas.api import types

    missing = series.isna().to_numpy()
    if categorical:
        return Typed("categorical", _texts(series, missing))
    if types.is_bool_dtype(series.dtype):
        return Typed("numeric", _floats(series), integral=True, boolean=True)
    if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
        values = _floats(series)
        _refuse_infinite(values, place)
        whole = types.is_integer_dtype(series.dtype) or (missing.any() and bool((values.dropna() % 1 == 0).all()))
        return Typed("numeric", values, integral=bool(whole))
    if not types.is_object_dtype(series.dtype) and not types.is_string_dtype(series.dtype):
        return Typed("categorical", _texts(series, missing))  # dates, categories

    present = series[~missing]
    nested = present.map(lambda value: isinstance(value, list | dict | tuple | np.ndarray)).to_numpy(dtype=bool)
    if nested.any():
        row = int(np.flatnonzero(~missing)[nested.argmax()])
        raise DataError(f"{place(row)}: column '{series.name}' holds a nested value, expected a number or a text")
    if len(present) and present.map(lambda value: isinstance(value, bool | np.bool_)).all():
        return Typed("numeric", _floats(series), integral=True, boolean=True)
    numbers = pd.to_numeric(present.astype(str).str.strip(), errors="coerce")
    good = numbers.notna().to_numpy()
    if len(present) == 0 or good.all():
        values = pd.Series(np.nan, index=series.index, name=series.name, dtype="float64")
        values[~missing] = numbers.to_numpy(dtype="float64")
        _refuse_infinite(values, place)
        return Typed("numeric", values, integral=len(present) > 0 and types.is_integer_dtype(numbers.dtype))
    if good.mean() >= MOSTLY_NUMBERS:
        row = int(np.flatnonzero(~missing)[(~good).argmax()])
        raise DataError(
            f"{place(row)}: column '{series.name}' holds {shown(series.iloc[row])} where {good.mean():.0%} of the "
            "values are numbers (if it means a missing value or a category, name it in 'missing' or 'categorical')"
        )
    return Typed("categorical", _texts(series, missing))


def is_free_text(values: pd.Series[Any] | Sequence[object]) -> bool:
    """Whether a column holds free text: more than 20 distinct texts, most with white space; some may be missing."""
    texts = [value for value in values if isinstance(value, str)]
    present = len(texts) if isinstance(values, Sequence) else int(values.notna().sum())
    if len(texts) < present or len(set(texts)) <= FEW_CATEGORIES:
        return False
    return 2 * sum(len(text.split(maxsplit=1)) > 1 for text in texts) > len(texts)


def shown(value: object) -> str:
    """A value for a message: quoted, on one line, shortened."""
    text = repr(str(value))
    return text if len(text) <= 60 else text[:56] + "...'"


def _floats(series: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    values = pd.to_numeric(series).to_numpy(dtype="float64", na_value=np.nan)
    return pd.Series(values, index=series.index, name=series.name)


def _texts(series: pd.Series[Any], missing: np.ndarray[Any, Any]) -> pd.Series[Any]:
    import pandas as pd

    texts = [None if absent else _text(value) for value, absent in zip(series.tolist(), missing, strict=True)]
    return pd.Series(texts, index=series.index, name=series.name, dtype=object)


def _text(value: object) -> str:
    # 3.0 and 3 are the same category: an empty cell in the column turns integers into floats
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _refuse_infinite(values: pd.Series[Any], place: Place) -> None:
    infinite = np.isinf(values.to_numpy())
    if infinite.any():
        raise DataError(f"{place(int(infinite.argmax()))}: column '{values.name}' holds an infinite number")
