"""Histories that come in a request: rows by time, or the text of a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.data.requests import RequestFormat, RequestLimits, flat_rows
from lamina.data.series.items import History
from lamina.errors import UsageError

FILE = "request.csv"
KEYS = {"past", "known"}


def schema(preprocess: Any) -> Mapping[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}}
    both = {"type": "object", "properties": {"past": rows, "known": rows}, "required": ["past"]}
    return {"anyOf": [rows, {**both, "additionalProperties": False}]}


def item(value: Any, preprocess: Any, limits: RequestLimits) -> Any:
    """The rows of a history; or {"past": rows, "known": rows}, what is known ahead."""
    if not isinstance(value, Mapping):
        return History(_frame(value, "the history"))
    if "past" not in value or not set(value) <= KEYS:
        raise UsageError('a history is a list of rows, or {"past": rows, "known": rows}')
    known = value.get("known")
    return History(_frame(value["past"], "past"), None if known is None else _frame(known, "known"))


def _frame(value: Any, what: str) -> Any:
    import pandas as pd

    return pd.DataFrame(flat_rows(value, what))


def upload(content: bytes, folder: Path, preprocess: Any, limits: RequestLimits) -> Sequence[Any]:
    file = folder / FILE
    file.write_bytes(content)
    return [History(str(file))]


REQUESTS = RequestFormat(schema=schema, item=item, media=("text/csv",), upload=upload)
