"""Column types: numeric (float64, missing values NaN) or categorical (text, missing values None), decided by value."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.tabular.cells import as_texts, canonical, plain_number
from lamina.data.tabular.reading import EXACT, FEW_CATEGORIES, Place, is_nested, read_column, shown
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEW_CATEGORIES", "Place", "Typed", "is_free_text", "shown", "typed"]

MISSING, UNSEEN = -1, -2
"""in place of the index of a category"""


@dataclass(frozen=True)
class Typed:
    """A typed column."""

    kind: Literal["numeric", "categorical"]
    values: pd.Series[Any]
    integral: bool = False
    """numeric: every value is whole, however it is written or stored"""
    boolean: bool = False
    exact: pd.Series[Any] | None = None
    """numeric: the values as read, where float64 does not hold them exactly"""


def typed(
    series: pd.Series[Any],
    place: Place,
    *,
    categorical: bool = False,
    options: DataOptions | None = None,
    target: bool = False,
) -> Typed:
    """Determine whether a column is numeric or categorical, and convert it.

    Booleans are numeric; dates stay texts (see ``dates``); texts that are all numbers are numeric, unless they have
    leading zeros. Blanks around texts do not count. Raises DataError, with column, row and value, if most values are
    numbers and one is not, for infinite numbers and nested values (lists, dictionaries).

    Example: ``typed(frame["age"], lambda row: f"people.csv, row {row + 1}").kind``
    """
    import pandas as pd
    from pandas.api import types

    options = DataOptions() if options is None else options
    if types.is_object_dtype(series.dtype):
        nested = np.fromiter(map(is_nested, series.tolist()), dtype=bool, count=len(series))
        if nested.any():
            row = int(nested.argmax())
            raise DataError(f"{place(row)}: column '{series.name}' holds a nested value, expected a number or a text")
    if categorical:
        return Typed("categorical", _texts(series, options))
    values = read_column(series, place, options, target=target).values
    if _is_truth(values):
        return Typed("numeric", _floats(values), integral=True, boolean=True)
    exact = types.is_object_dtype(values.dtype) and all(isinstance(one, int | None) for one in values.tolist())
    if exact or (types.is_numeric_dtype(values.dtype) and not types.is_complex_dtype(values.dtype)):
        floats = _floats(values)
        infinite = np.isinf(floats.to_numpy())
        if infinite.any():
            raise DataError(f"{place(int(infinite.argmax()))}: column '{series.name}' holds an infinite number")
        present = floats.dropna()
        integral = bool(len(present) > 0 and (present % 1 == 0).all())
        inexact = exact or (types.is_integer_dtype(values.dtype) and bool((present.abs() >= EXACT).any()))
        return Typed("numeric", floats, integral=integral, exact=values if inexact else None)
    if len(values) and values.isna().all() and not types.is_datetime64_any_dtype(values.dtype):
        return Typed("numeric", pd.Series(np.nan, index=series.index, name=series.name, dtype="float64"))
    return Typed("categorical", _texts(values, options))


def is_free_text(values: pd.Series[Any] | Sequence[object]) -> bool:
    """Whether a column holds free text: more than 20 distinct texts, most with white space; some may be missing."""
    texts = [value for value in values if isinstance(value, str)]
    present = len(texts) if isinstance(values, Sequence) else int(values.notna().sum())
    if len(texts) < present or len(set(texts)) <= FEW_CATEGORIES:
        return False
    return 2 * sum(len(text.split(maxsplit=1)) > 1 for text in texts) > len(texts)


def category_texts(series: pd.Series[Any], missing: Sequence[str] = ()) -> list[str | None]:
    """The categories that the cells stand for; None for a missing value."""
    return canonical(as_texts(series, missing))


def category_indices(
    series: pd.Series[Any], categories: Sequence[str], missing: Sequence[str], absent: Collection[str] = ()
) -> np.ndarray[Any, Any]:
    """The index of each cell among the categories, MISSING or UNSEEN; ``absent`` are further words for a missing value,
    in lower case.

    A text is the category of that name, or the one of the same number if all categories are numbers. A number that no
    category is called may be one that is written with leading zeros, if there is only one.
    """
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(as_texts(series, missing))
    distinct: list[str] = encoded.dictionary.to_pylist()
    places = {category: k for k, category in enumerate(categories)}
    values = [plain_number(category) for category in categories]
    alike = None not in values and all(str(value) == name for value, name in zip(values, categories, strict=True))

    def of_text(text: str) -> int:
        if (found := places.get(text)) is not None:
            return found
        if text.casefold() in absent:
            return MISSING
        return places.get(str(plain_number(text)), UNSEEN) if alike else UNSEEN

    def of_number(text: str) -> int:
        number, found = plain_number(text), of_text(text)
        if found != UNSEEN or number is None or values.count(number) != 1:
            return found
        return values.index(number)

    index = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
    found: np.ndarray[Any, Any] = np.array([*map(of_text, distinct), MISSING])[index]
    if (real := _are_numbers(series)).any():
        found = np.where(real, np.array([*map(of_number, distinct), MISSING])[index], found)
    return found


def _are_numbers(series: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Whether each cell is stored as a number, not as text."""
    from pandas.api import types

    if types.is_object_dtype(series.dtype) and types.infer_dtype(series, skipna=True) != "string":
        return np.fromiter((isinstance(one, Number) for one in series.tolist()), dtype=bool, count=len(series))
    return np.full(len(series), types.is_numeric_dtype(series.dtype))


def _is_truth(values: pd.Series[Any]) -> bool:
    from pandas.api import types

    if types.is_bool_dtype(values.dtype):
        return True
    if not types.is_object_dtype(values.dtype):
        return False
    present = values.dropna()
    return len(present) > 0 and all(isinstance(one, bool | np.bool_) for one in present.tolist())


def _floats(series: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    values = pd.to_numeric(series).to_numpy(dtype="float64", na_value=np.nan)
    return pd.Series(values, index=series.index, name=series.name)


def _texts(series: pd.Series[Any], options: DataOptions) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(category_texts(series, options.missing), index=series.index, name=series.name, dtype=object)
