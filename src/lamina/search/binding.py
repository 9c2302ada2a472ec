"""A space over a model's options and the recipe: each decision checked against the type of its field."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from lamina import registry
from lamina.errors import LaminaError, UsageError, unknown
from lamina.options.conversion import typed
from lamina.options.documents import read_yaml
from lamina.options.recipe import Augmentation, Recipe
from lamina.runs.build import DATA_OPTIONS
from lamina.runs.config import make_config
from lamina.search.decisions import Choice, Decision, Range, plain
from lamina.search.space import Point, Space

NOT_SEARCHED = {
    "seed": "its best value would be luck; --seeds trains the best points with several",
    "monitor": "trials are compared by it",
    "devices": "it changes no result",
    "num_nodes": "it changes no result",
    "timeout": "it changes no result",
    "strategy": "it changes no result",
    "accelerator": "it changes no result",
    "workers": "it changes no result",
    "memory": "it changes no result",
    "checkpoint_every": "it changes no result",
    "calibrate": "it is fitted after training",
    "augmentation": "name its options one by one: augmentation.flip",
}
"""fields of the recipe that are no decisions, and why"""
TRIES = 20
"""points with a value that are tried before it is refused"""


def bound(space: Space, model: str, fixed: Mapping[str, Any]) -> Space:
    """The space with values of the fields' own types: ``model.*`` is of the model's config, ``objective.*`` of its
    objective, the rest of the recipe. ``model.operations[2]`` is an element of a list; ``[*]`` stands for each.

    ``fixed`` are the other options of the training. Raises UsageError for a field that does not exist (with the nearest
    name), a value of another type, one that the model or the recipe cannot take, and one that is fixed as well.
    """
    row = registry.variant(model)
    decisions = [one for decision in space.decisions for one in _spread(decision, row.config)]
    _expect_once(decisions)
    for decision in decisions:
        _expect_free(decision.name, fixed)
    checked = Space([_typed(decision, model, row.config) for decision in decisions])
    for decision in checked.decisions:
        for value in _probes(decision):
            _expect_taken(checked, decision, value, model, fixed)
    return checked


def options_of(point: Point, model: str | None = None) -> dict[str, Any]:
    """A point as options of ``lamina.train``: ``{"lr": 0.1, "model": {"activation": "relu"}}``."""
    options: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in point.items():
        group, _, field = name.rpartition(".")
        if group:
            groups.setdefault(group, {})[field] = value
        else:
            options[name] = value
    if "model" in groups and model is not None:
        groups["model"] = _joined(groups["model"], registry.variant(model).config)
    return options | groups


def merged(fixed: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed options with those of a point over them."""
    out = dict(fixed)
    for name, value in point.items():
        before = out.get(name)
        if isinstance(before, str) and isinstance(value, Mapping):  # an objective by its name alone
            before = {"name": before}
        out[name] = {**(before or {}), **value} if isinstance(value, Mapping) else value
    return out


def _joined(options: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Elements ``operations[2]`` as the whole field."""
    out: dict[str, Any] = {}
    for name, value in options.items():
        field, index = _element(name)
        if index is None:
            out[name] = value
        else:
            whole = list(out.get(field, getattr(config, field)))
            whole[int(index)] = value
            out[field] = tuple(whole)
    return out


def _element(name: str) -> tuple[str, str | None]:
    found = re.fullmatch(r"(.+)\[(\d+|\*)\]", name)
    return (found[1], found[2]) if found else (name, None)


def _spread(decision: Decision, config: Any) -> Iterator[Decision]:
    """A decision about ``model.operations[*]`` as one about each element."""
    whole, index = _element(decision.name)
    if index is None:
        yield decision
        return
    group, _, field = whole.rpartition(".")
    current = getattr(config, field, None)
    if group != "model" or not isinstance(current, tuple | list):
        raise UsageError(f"'{decision.name}': only a list of the model's options has elements")
    if index == "*":
        for i in range(len(current)):
            yield dataclasses.replace(decision, name=f"{whole}[{i}]")  # type: ignore[type-var]  # a dataclass
    elif int(index) >= len(current):
        raise UsageError(f"'{decision.name}': {field} has {len(current)} elements, numbered from 0")
    else:
        yield decision


def _expect_once(decisions: Sequence[Decision]) -> None:
    """Raise UsageError for an option under two names, flip and augmentation.flip, or as a whole and by element."""
    first: dict[tuple[str, str], str] = {}
    for decision in decisions:
        whole, index = _element(decision.name)
        group, _, field = whole.rpartition(".")
        if not group and field in {f.name for f in dataclasses.fields(Augmentation)}:
            group = "augmentation"
        before = first.setdefault((group, field), decision.name)
        elements = index is not None and _element(before)[1] is not None
        if before != decision.name and not elements:
            raise UsageError(f"'{before}' and '{decision.name}' are one option: leave one of them out")


def _expect_free(name: str, fixed: Mapping[str, Any]) -> None:
    group, _, field = _element(name)[0].rpartition(".")
    inside = fixed.get(group) if group else fixed
    nested = fixed.get("augmentation") or {}
    given = isinstance(inside, Mapping) and inside.get(field) is not None
    if (
        given
        or (not group and nested.get(field) is not None)
        or (group == "augmentation" and fixed.get(field) is not None)
    ):
        raise UsageError(f"'{name}' is given and searched: leave one of them out")


def _typed(decision: Decision, model: str, config: Any) -> Decision:
    """The decision with values of its field's type. Raises UsageError."""
    if isinstance(decision, Choice):
        values = tuple(_value(decision.name, value, model, config) for value in decision.values)
        return dataclasses.replace(decision, values=values)
    assert isinstance(decision, Range)
    low, high = (_value(decision.name, end, model, config) for end in (decision.low, decision.high))
    if isinstance(low, int) and isinstance(high, int):
        return dataclasses.replace(decision, low=low, high=high, integer=True)
    if not isinstance(low, float) or not isinstance(high, float):
        raise UsageError(f"'{decision.name}' takes no range: give a list of values")
    step = None if decision.step is None else float(decision.step)
    return dataclasses.replace(decision, low=low, high=high, step=step, integer=False)


def _value(name: str, value: Any, model: str, config: Any) -> Any:
    whole, index = _element(name)
    group, _, field = whole.rpartition(".")
    given = value
    if index is not None:
        elements = list(getattr(config, field))
        elements[int(index)] = value
        given = elements
    cls, names = _home(group, config)
    if cls is None:  # an objective's own options are known once it is
        return value
    if group == "" and field in {f.name for f in dataclasses.fields(Augmentation)}:
        cls = Augmentation
    elif group == "" and field in NOT_SEARCHED:
        raise UsageError(f"'{name}' is not searched: {NOT_SEARCHED[field]}")
    elif field not in {f.name for f in dataclasses.fields(cls)}:
        raise unknown("field of the space", name, names)
    elif group == "model" and field in DATA_OPTIONS and field != "image_size":
        raise UsageError(f"'{name}' is not searched: it is derived from the data")
    try:
        made = typed(cls, {field: given}, "option")[field]
    except UsageError as error:
        raise UsageError(f"the space's '{name}': {str(error).partition(': ')[2] or error}") from None
    return made if index is None else list(made)[int(index)]


def _home(group: str, config: Any) -> tuple[type[Any] | None, list[str]]:
    """The dataclass of a group of options, and all names that a space may have."""
    recipe = [f.name for f in dataclasses.fields(Recipe) if f.name not in NOT_SEARCHED]
    images = [f.name for f in dataclasses.fields(Augmentation)]
    own = [f.name for f in dataclasses.fields(config)]
    names = [*recipe, *images, *(f"augmentation.{one}" for one in images), *(f"model.{one}" for one in own)]
    homes: dict[str, type[Any] | None] = {"": Recipe, "augmentation": Augmentation, "model": type(config)}
    homes["objective"] = None
    if group not in homes:
        raise unknown("group of the space", group, [one for one in homes if one])
    return homes[group], names


def _probes(decision: Decision) -> Iterator[Any]:
    if isinstance(decision, Choice):
        yield from decision.values
    elif isinstance(decision, Range):
        yield from (decision.low, decision.high)


def _expect_taken(space: Space, decision: Decision, value: Any, model: str, fixed: Mapping[str, Any]) -> None:
    """Raise UsageError for a value that recipe or model refuse in every point that is tried."""
    if decision.name.startswith("objective."):
        return
    failure: LaminaError | None = None
    random = Random(0)
    for _ in range(TRIES):
        needed = {name: values[0] for name, values in decision.when.items()}
        point = space.completed({**needed, decision.name: value}, random)
        if decision.name not in point:
            continue
        try:
            config = make_config(model, {"data": "-", **merged(fixed, options_of(point, model))})
            registry.configure(registry.variant(model), config.model)
            return
        except LaminaError as error:
            failure = failure or error
    if failure is not None:
        raise UsageError(f"the space's '{decision.name}' cannot be {plain(value)}: {failure}")


def space_from_words(words: Mapping[str, str]) -> dict[str, Any]:
    """A space from words of the command line: ``lr=1e-4:1e-1:log``, ``batch_size=16:128:16``, ``optimizer=sgd,adamw``,
    ``model.hidden=[64],[64,64]``."""
    out: dict[str, Any] = {}
    for name, text in words.items():
        parts = text.split(":")
        if len(parts) in (2, 3) and all(map(_is_number, parts[:2])):
            out[name] = {"low": _read(parts[0]), "high": _read(parts[1])}
            if len(parts) == 3 and parts[2] != "log" and not _is_number(parts[2]):
                raise UsageError(f"--space {name}={text}: expected LOW:HIGH, LOW:HIGH:log or LOW:HIGH:STEP")
            if len(parts) == 3:
                out[name] |= {"log": True} if parts[2] == "log" else {"step": _read(parts[2])}
            continue
        try:
            values = read_yaml(f"[{text}]", name)
        except UsageError:
            if not set(text) & set("[]{}'\""):  # |nor_conv_3x3~0| is no YAML
                out[name] = [part.strip() for part in text.split(",")]
                continue
            raise UsageError(f"--space {name}={text}: expected values divided by commas") from None
        out[name] = [_read(value) if isinstance(value, str) and _is_number(value) else value for value in values]
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False


def _read(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)
