"""Conversion of plain values (from YAML, JSON or a call) to the typed fields of a dataclass."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lamina.errors import UsageError, nearest, unknown


def typed(cls: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``values`` converted to keyword arguments of the dataclass ``cls``: lists become tuples, numeric strings floats.

    ``what`` describes the option in messages ("recipe option", "option of lenet5"). Raises UsageError for an unknown
    name (with the nearest one) or a value of another type; a float is no integer, even a whole one.

    Example: ``typed(Recipe, {"lr": "1e-3"}, "recipe option")`` is ``{"lr": 0.001}``.
    """
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    result = {}
    for name, value in values.items():
        if name not in names:
            raise unknown(what, name, names)
        try:
            result[name] = _convert(value, hints[name])
        except ValueError as error:
            raise UsageError(f"{what} '{name}': {error}") from None
    return result


def made(cls: type[Any], values: Mapping[str, Any], what: str) -> Any:
    """The dataclass ``cls`` with these values. Raises UsageError as ``typed`` does, and for values that it refuses."""
    try:
        return cls(**typed(cls, values, what))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what}: {error}") from error


def _convert(value: Any, hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if isinstance(value, bool) and {"yes", "no"} <= set(args):
            return "yes" if value else "no"  # YAML 1.1 reads no as false
        if value in args:
            return value
        near = nearest(str(value), [str(arg) for arg in args])
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(str(arg) for arg in args)}"
        raise ValueError(f"unknown value '{value}'; {hint}")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        rest = [arg for arg in args if arg is not type(None)]
        for arg in rest[:-1]:
            try:
                return _convert(value, arg)
            except ValueError:
                continue
        return _convert(value, rest[-1])
    if origin is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ValueError(f"expected a list, got {value!r}")
        items = list(value)
        if len(args) != 2 or args[1] is not Ellipsis:
            if len(items) != len(args):
                raise ValueError(f"expected {len(args)} values, got {len(items)}")
            return tuple(_convert(item, arg) for item, arg in zip(items, args, strict=True))
        return tuple(_convert(item, args[0]) for item in items)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return hint(**typed(hint, value, "option"))
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as a string
        except ValueError:
            raise ValueError(f"expected a number, got {value!r}") from None
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = {int: "a whole number", bool: "true or false", str: "text"}.get(hint, str(hint))
    raise ValueError(f"expected {expected}, got {value!r}")
