"""Cells of a table as text, whatever the file that they came from: the same value is the same text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NO_NUMBERS = frozenset(
    {"na", "n/a", "nan", "-nan", "null", "none", "nil", "<na>", "#na", "#n/a", "#value!", "#div/0!"}
    | {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
)
"""words for a missing value in columns of numbers, in lower case; in columns of texts they are ordinary values"""
Texts = Any
"""a ``pyarrow.LargeStringArray``"""


def as_texts(series: pd.Series[Any], missing: Sequence[str] = ()) -> Texts:
    """The cells as texts without blanks around them, null for a missing value, an empty cell and a text in ``missing``.

    Whole numbers have no decimals: 3 and 3.0 are the same text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        texts = pa.array(series, type=pa.large_string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        cells = zip(series.tolist(), series.isna().tolist(), strict=True)
        texts = pa.array([None if absent else _text(value) for value, absent in cells], type=pa.large_string())
    if isinstance(texts, pa.ChunkedArray):
        chunks = [chunk.cast(pa.large_string()) for chunk in texts.chunks]  # some may be of another type
        texts = pa.concat_arrays(chunks) if chunks else pa.array([], type=pa.large_string())
    texts = pc.utf8_trim_whitespace(texts)
    absent = pc.equal(texts, "")
    if missing:
        absent = pc.or_(absent, pc.is_in(texts, pa.array([one.strip() for one in missing], type=pa.large_string())))
    return pc.if_else(absent, pa.scalar(None, type=pa.large_string()), texts)


def canonical(texts: Texts) -> list[str | None]:
    """The categories that the cells of a column stand for: where all are numbers without leading zeros, 3.0 is 3."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(texts)
    distinct: list[str] = encoded.dictionary.to_pylist()
    numbers = [plain_number(text) for text in distinct]
    if None not in numbers and not has_leading_zeros(encoded.dictionary):
        distinct = [str(number) for number in numbers]
    index = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
    words: list[str | None] = np.array([*distinct, None], dtype=object)[index].tolist()
    return words


def has_leading_zeros(texts: Texts) -> bool:
    """Whether a text is a whole number written with leading zeros, such as 00123: a code rather than a quantity."""
    return first_leading_zero(texts) is not None


def first_leading_zero(texts: Texts) -> int | None:
    """The index of the first whole number with leading zeros."""
    import pyarrow.compute as pc

    found = pc.fill_null(pc.match_substring_regex(texts, r"^[+-]?0[0-9]+$"), False).to_numpy(zero_copy_only=False)
    return int(found.argmax()) if found.any() else None


def plain_number(text: str) -> int | float | None:
    """A finite number as Python writes it, whole ones exactly; None for another text."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)
