"""Options of a verb that a request may give: numbers, switches and words of a fixed set.

A text is taken only where the field says that it names no file (``metadata={"no_path": True}``): an option such as
``plot`` would write one. Whole numbers are limited as items are, unless the field says otherwise: ``"limit"`` is
"tokens", "product" (of a tuple) or None (a seed).
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lamina.data.requests import LimitError, RequestLimits
from lamina.errors import UsageError, unknown
from lamina.options.conversion import made

SAFE = (int, float, bool, type(None))


def served_fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a verb's options that a request may set."""
    hints = get_type_hints(cls)
    return {one.name: one for one in dataclasses.fields(cls) if _safe(hints[one.name], "no_path" in one.metadata)}


def _safe(hint: Any, words: bool) -> bool:
    if get_origin(hint) is Literal:
        return True
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return all(_safe(part, words) for part in get_args(hint) if part is not Ellipsis)
    return hint in SAFE or (words and hint is str)


def request_options(cls: type[Any], given: Any, limits: RequestLimits) -> dict[str, Any]:
    """The options of a request, checked: keyword arguments of ``Run.predict``.

    Raises UsageError for an option that is not there, or that a request may not set, LimitError for one too large.
    """
    if not isinstance(given, Mapping):
        raise UsageError("options must be an object of values by name")
    fields = served_fields(cls)
    for name in given:
        if name not in fields:
            if name in {one.name for one in dataclasses.fields(cls)}:
                raise UsageError(f"option '{name}' cannot be set by a request")
            if not fields:
                raise UsageError(f"there are no options, got '{name}'")
            raise unknown("option", str(name), fields)
    options = made(cls, given, "option")
    for name in given:
        _check(name, getattr(options, name), fields[name].metadata.get("limit", "items"), limits)
    return {name: getattr(options, name) for name in given}


def _check(name: str, value: Any, limit: str | None, limits: RequestLimits) -> None:
    numbers = [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, int)]
    if limit is None:
        if any(abs(one) >= 2**63 for one in numbers):
            raise UsageError(f"option '{name}' must be a whole number of at most 64 bits")
        return
    most = limits.max_tokens if limit == "tokens" else limits.max_items
    amount = math.prod(numbers) if limit == "product" else max(numbers, default=0)
    if amount > most or len(numbers) > most:
        raise LimitError(
            f"option '{name}': {amount:,} is more than a request may ask for, {most:,} (--max-{_flag(limit)})"
        )


def _flag(limit: str) -> str:
    return "tokens" if limit == "tokens" else "items"


def options_schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON schema of the options that a request may set."""
    hints = get_type_hints(cls)
    found = {name: {**_schema(hints[name]), **_default(one)} for name, one in served_fields(cls).items()}
    return {"type": "object", "properties": found, "additionalProperties": False}


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    default = field.default
    return (
        {} if default is dataclasses.MISSING else {"default": list(default) if isinstance(default, tuple) else default}
    )


def _schema(hint: Any) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(part) for part in args]}
    names = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
    return {"type": names[hint]}
