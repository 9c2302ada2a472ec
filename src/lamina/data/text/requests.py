"""Texts that come in a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.data.requests import RequestFormat, RequestLimits, text_of
from lamina.errors import DataError


def schema(preprocess: Any) -> Mapping[str, Any]:
    return {"type": "string"}


def item(value: Any, preprocess: Any, limits: RequestLimits) -> str:
    return text_of(value, "an item")


def upload(content: bytes, folder: Path, preprocess: Any, limits: RequestLimits) -> Sequence[Any]:
    """The body as one text."""
    try:
        return [content.decode()]
    except UnicodeDecodeError:
        raise DataError("the text of the request is not UTF-8") from None


def tokens(texts: Sequence[str], preprocess: Any) -> int:
    return sum(map(len, preprocess.code.encode_batch(list(texts))))


REQUESTS = RequestFormat(
    schema=schema,
    item=item,
    media=("text/plain",),
    upload=upload,
    example=lambda preprocess: "a text",
    tokens=tokens,
)
