"""Items that come in a request over the network: what they may be, and how large.

A word of a request is never the name of a file: each modality says here how its items are read from JSON and from
uploaded bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.errors import UsageError

MILLION = 1_000_000


class LimitError(UsageError):
    """A request is larger than the server allows."""


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """How large a request may be. Raises UsageError for a limit below one.

    Example: ``RequestLimits(items=16, pixels=1_000_000)``
    """

    max_body: int = 16 * MILLION
    """largest body of a request, in bytes"""
    max_pixels: int = 25 * MILLION
    """largest picture, in pixels, before it is decoded"""
    max_items: int = 256
    """most items of a request, and most samples that it generates"""
    max_tokens: int = 4096
    """most tokens of a request: of its texts, and of what it generates"""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"{name} must be greater than 0, got {value}")

    def check_items(self, count: int) -> None:
        """Raise LimitError for too many items."""
        if count > self.max_items:
            raise LimitError(f"{count:,} items: a request may have {self.max_items:,} (--max-items)")

    def check_tokens(self, count: int) -> None:
        """Raise LimitError for too many tokens."""
        if count > self.max_tokens:
            raise LimitError(f"{count:,} tokens: a request may have {self.max_tokens:,} (--max-tokens)")

    def check_pixels(self, height: int, width: int) -> None:
        """Raise LimitError for a picture that is too large to be decoded."""
        if height * width > self.max_pixels:
            raise LimitError(
                f"a picture of {width:,} x {height:,} pixels: it may have {self.max_pixels:,} (--max-pixels)"
            )


@dataclass(frozen=True, kw_only=True)
class RequestFormat:
    """How the items of a modality come in a request; the row's ``Modality.requests``."""

    schema: Callable[[Any], Mapping[str, Any]]
    """of a preprocess: the JSON schema of an item"""
    item: Callable[[Any, Any, RequestLimits], Any]
    """(value, preprocess, limits): an item of a JSON body, as ``predict`` takes it; raises UsageError, DataError"""
    media: tuple[str, ...]
    """media types of a body, or an uploaded file, that holds items: "image/png", or "image/*" """
    upload: Callable[[bytes, Path, Any, RequestLimits], Sequence[Any]]
    """(content, folder, preprocess, limits): its items; files may be written to ``folder``, which is the request's"""
    example: Callable[[Any], Any] = lambda preprocess: None
    """of a preprocess: an item, for the page of the server; None: none is shown"""
    tokens: Callable[[Sequence[str], Any], int] | None = None
    """(texts, preprocess): how many tokens they have; None: the modality has none"""


def flat_rows(value: Any, what: str) -> list[dict[str, Any]]:
    """Rows of a JSON request: objects of numbers, texts, true, false and null. Raises UsageError naming the row."""
    if not isinstance(value, list) or not value:
        raise UsageError(f"{what} must be a list of rows, each an object of values by column")
    return [flat_row(row, f"{what}, row {number}") for number, row in enumerate(value, 1)]


def flat_row(value: Any, what: str) -> dict[str, Any]:
    """A row of a JSON request. Raises UsageError naming the column."""
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"{what} must be an object of values by column")
    for name, cell in value.items():
        if not isinstance(cell, str | int | float | bool | type(None)):
            raise UsageError(f"{what}: column '{name}' must hold a number or a text, not {_kind(cell)}")
        if isinstance(cell, int) and abs(cell) >= 2**63:
            raise UsageError(f"{what}: column '{name}' holds a whole number of more than 64 bits")
    return dict(value)


def text_of(value: Any, what: str) -> str:
    """A text of a JSON request. Raises UsageError for another value."""
    if not isinstance(value, str):
        raise UsageError(f"{what} must be a text, not {_kind(value)}")
    return value


def plain(value: Any) -> Any:
    """A value of JSON as it came. Raises UsageError for numbers that are not finite and texts that are not Unicode."""
    if isinstance(value, Mapping):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError("the body holds a number that is not finite")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError("the body holds a text that is not Unicode: half a surrogate pair") from None
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "a text"}
    return names.get(type(value), "a number")
