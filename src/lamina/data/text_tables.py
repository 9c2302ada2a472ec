"""Tables of texts: a column of free text and a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.data.columns import FEW_CATEGORIES
from lamina.data.options import DataOptions
from lamina.errors import unknown

if TYPE_CHECKING:
    import pandas as pd


def text_column(frame: pd.DataFrame, inputs: list[str], options: DataOptions) -> str | None:
    """The column of texts among the inputs: the one named, else the only one, if it is free text. Raises UsageError."""
    if options.text is not None:
        if options.text not in inputs:
            raise unknown("text column", options.text, inputs)
        return options.text
    if len(inputs) == 1 and inputs[0] not in options.categorical and is_free_text(frame[inputs[0]]):
        return inputs[0]
    return None


def is_free_text(series: pd.Series[Any]) -> bool:
    """Whether a column holds texts that are no categories: more than 20 different ones, most with white space."""
    present = series.dropna()
    texts = [value for value in present.tolist() if isinstance(value, str)]
    if len(texts) < len(present) or len(set(texts)) <= FEW_CATEGORIES:
        return False
    return 2 * sum(len(text.split()) > 1 for text in texts) > len(texts)
