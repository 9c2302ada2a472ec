"""Rows that come in a request: objects, or the text of a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.data.requests import RequestFormat, RequestLimits, flat_row
from lamina.data.table.items import array_columns
from lamina.errors import UsageError

FILE = "request.csv"


def schema(preprocess: Any) -> Mapping[str, Any]:
    """An object with a value for each column."""
    cell = {"type": ["number", "string", "boolean", "null"]}
    names = [column.name for column in preprocess.columns]
    row: dict[str, Any] = {"type": "object", "properties": dict.fromkeys(names, cell), "minProperties": 1}
    if array_columns(names) is None:
        return row
    return {"anyOf": [row, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}


def item(value: Any, preprocess: Any, limits: RequestLimits) -> Any:
    """A row by column; of a model trained on arrays also a list of numbers."""
    if not isinstance(value, list):
        return flat_row(value, "an item")
    if not value or not all(isinstance(one, int | float) for one in value):
        raise UsageError("an item must be an object of values by column, or a list of numbers")
    import numpy as np

    return np.array(value, dtype=np.float64)


def upload(content: bytes, folder: Path, preprocess: Any, limits: RequestLimits) -> Sequence[Any]:
    limits.check_items(content.count(b"\n") - 1)
    file = folder / FILE
    file.write_bytes(content)
    return [file]


def example(preprocess: Any) -> Any:
    """A row of the training data's means and most frequent categories."""
    import torch

    return preprocess.undo(torch.zeros(preprocess.signature()[0].shape))


REQUESTS = RequestFormat(schema=schema, item=item, media=("text/csv",), upload=upload, example=example)
