"""The fields of a dataclass as command-line options: typed, with the attribute's docstring as help."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lamina.errors import UsageError
from lamina.options.conversion import typed
from lamina.options.recipe import FITTED, Recipe


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of ``cls`` as an option; ``under`` is the prefix of its name: ``model`` in ``--model.dropout``."""

    cls: type[Any]
    name: str
    hint: Any
    """its type, without None"""
    doc: str
    default: Any
    under: str = ""

    @property
    def dest(self) -> str:
        return f"{self.under}.{self.name}" if self.under else self.name

    @property
    def option(self) -> str:
        return f"--{self.dest.replace('_', '-')}"

    @property
    def item(self) -> Any:
        """Type of one element where the field is a tuple, else None."""
        parts = [self.hint, *get_args(self.hint)]
        return next((get_args(part)[0] for part in parts if get_origin(part) is tuple), None)

    @property
    def verbatim(self) -> bool:
        """Whether each use of the option is one element as it stands, commas and newlines included."""
        (field,) = (field for field in dataclasses.fields(self.cls) if field.name == self.name)
        return bool(field.metadata.get("verbatim"))

    @property
    def together(self) -> str | None:
        """The names of the values that follow the option all at once, ``--interpolate A B``; None: one value."""
        (field,) = (field for field in dataclasses.fields(self.cls) if field.name == self.name)
        names: str | None = field.metadata.get("together")
        return names

    @property
    def fits(self) -> bool:
        """Whether the option may be "auto": found from the data, the model and the machine."""
        owner = self.cls is Recipe or (self.under == "model" and self.name == "image_size")
        return owner and self.name in FITTED

    @property
    def is_flag(self) -> bool:
        """Written ``--flip`` and ``--no-flip``; a model's options always take a value, so that the
        command line can be scanned before the model is known."""
        return self.hint is bool and not self.under

    @property
    def how(self) -> dict[str, Any]:
        """Arguments of ``add_argument``."""
        if self.is_flag:
            return {"action": argparse.BooleanOptionalAction}
        if self.together is not None:
            return {"type": str, "nargs": "+", "metavar": tuple(self.together.split())}
        if self.item is not None:
            several = "" if self.verbatim else ",..."
            return {"type": str, "action": "append", "metavar": f"{_word(self.item)}{several}"}
        given = str if self.hint is Any else self.hint
        return {"type": given | Literal["auto"] if self.fits else given, "metavar": _word(given)}

    @property
    def words(self) -> tuple[str, ...]:
        """The allowed values, where they are a fixed set of words; else none."""
        if self.hint is bool:
            return ("true", "false")
        return tuple(map(str, get_args(self.hint))) if get_origin(self.hint) is Literal else ()

    @property
    def help(self) -> str:
        choices = f"; one of {', '.join(self.words)}" if get_origin(self.hint) is Literal else ""
        default = _shown(self.default)
        return f"{self.doc}{choices}{f' (default: {default})' if default else ''}".replace("%", "%%")

    def complaint(self, value: str) -> str:
        """Why the option cannot take ``value``, worded as for a recipe file."""
        try:
            typed(self.cls, {self.name: value}, "")
        except UsageError as error:
            return f"{self.option}: {str(error).split(': ', 1)[1]}"
        return f"{self.option} cannot take '{value}'"

    def value(self, given: Any) -> Any:
        """What the parser read as the field's value. Raises UsageError for a list's element of another type."""
        if self.item is None:
            return given
        if self.together is not None:
            return tuple(_number(text, self.item) for text in given)
        texts = list(given) if self.verbatim else [text for line in given for text in _split(line, self.item)]
        items = [_number(text, self.item) for text in texts]
        try:
            typed(self.cls, {self.name: items}, "")
        except UsageError as error:
            raise UsageError(f"{self.option}: {str(error).split(': ', 1)[1]}") from None
        return items[0] if len(items) == 1 and get_origin(self.hint) is not tuple else items


def fields_of(
    cls: type[Any], *, under: str = "", skip: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> Iterator[Field]:
    """The fields of a dataclass; ``defaults`` are shown in place of the class's own."""
    hints, docs = get_type_hints(cls), _docs(cls)
    for field in dataclasses.fields(cls):
        if field.name not in skip:
            default = {field.name: field.default, **(defaults or {})}[field.name]
            yield Field(cls, field.name, _without_none(hints[field.name]), docs.get(field.name, ""), default, under)


def given(fields: Mapping[str, Field], values: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """The options of ``fields`` that the user gave, by name."""
    return {
        field.name: field.value(values[field.name])
        for field in fields.values()
        if field.under == under and field.name in values
    }


def _docs(cls: type[Any]) -> dict[str, str]:
    """Attribute docstrings by attribute, those of base classes among them, on one line."""
    from docstring_parser import parse_from_object

    bases = [base for base in reversed(cls.__mro__) if dataclasses.is_dataclass(base)]
    params = [param for base in bases for param in parse_from_object(base).params]
    return {param.arg_name: " ".join((param.description or "").replace("``", "").split()) for param in params}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007
    return hint


def _word(hint: Any) -> str:
    """The placeholder of a value in the help."""
    return {int: "N", float: "X", str: "TEXT", bool: "true|false"}.get(hint, "NAME")


def _shown(default: Any) -> str:
    if default is None or default is dataclasses.MISSING or default == ():
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _split(line: str, item: Any) -> list[str]:
    """Comma-separated; texts that hold commas are quoted as in a CSV file. Numbers may stand in brackets."""
    if item is not str:
        line = line.strip().removeprefix("[").removesuffix("]")
    return [text if item is str else text.strip() for row in csv.reader([line]) for text in row]


def _number(text: str, item: Any) -> Any:
    try:
        return item(text) if item in (int, float) else text
    except ValueError:
        return text
