"""The space of a search: decisions by name, some of them made only where others have certain values."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from lamina.errors import UsageError, unknown
from lamina.options.documents import read_yaml
from lamina.search.decisions import Choice, Decision, Range, plain, same

Point = Mapping[str, Any]
"""a value for each decision that is made"""
KEYS = ("low", "high", "log", "step", "values", "when")


class Space:
    """Decisions in an order in which each comes after those that it depends on.

        space = Space.of({"lr": {"low": 1e-4, "high": 0.1, "log": True}, "optimizer": ["sgd", "adamw"],
                          "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}}})
        space.size, space.sample(Random(0))

    A value is made a list or a number: what YAML knows. Raises UsageError for a condition on a decision that is not of
    the space, or on one that depends on the first in turn, and for a space without two points; with ``point`` one is
    enough, as before it is known whether there are such options.
    """

    def __init__(self, decisions: Sequence[Decision], *, point: bool = False) -> None:
        names = [decision.name for decision in decisions]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"the space has '{name}' twice")
        self.decisions: tuple[Decision, ...] = _ordered(decisions)
        for decision in self.decisions:
            _check_condition(decision, {other.name: other for other in self.decisions})
        if point:
            return
        if not self.decisions:
            raise UsageError("the space is empty: give decisions, such as --space lr=1e-4:1e-1:log")
        if self.size < 2:
            raise UsageError(f"the space has one point: {self.describe(self.sample(Random(0)))}: nothing to search")

    @classmethod
    def of(cls, values: Mapping[str, Any], *, point: bool = False) -> Space:
        """A space from plain values: a list is a choice; ``low``, ``high`` a range; ``when`` a condition."""
        if not isinstance(values, Mapping):
            raise UsageError("a space is a mapping: decision by decision, its values or its range")
        return cls([_decision(str(name), value) for name, value in values.items()], point=point)

    @classmethod
    def read(cls, file: str | Path) -> Space:
        """A space from a YAML file. Raises UsageError."""
        return cls.of(read_space(file))

    def to_dict(self) -> dict[str, Any]:
        """As ``of`` takes it."""
        return {decision.name: _plain(decision) for decision in self.decisions}

    @cached_property
    def _by_name(self) -> dict[str, Decision]:
        return {decision.name: decision for decision in self.decisions}

    def __getitem__(self, name: str) -> Decision:
        return self._by_name[name]

    @cached_property
    def size(self) -> float:
        """The number of points; infinite with a range of real numbers."""
        asked = {name for decision in self.decisions for name in decision.when}
        return self._count(0, {}, asked)

    def _count(self, place: int, made: dict[str, Any], asked: set[str]) -> float:
        total: float = 1
        for i, decision in enumerate(self.decisions[place:], place):
            if not self.asks_for(decision, made):
                continue
            if decision.name in asked and isinstance(decision, Choice):
                return total * sum(
                    self._count(i + 1, {**made, decision.name: value}, asked) for value in decision.values
                )
            total *= decision.count
        return total

    def asks_for(self, decision: Decision, point: Point) -> bool:
        """Whether a point, made so far as it is, has a value of the decision."""
        return all(
            name in point and any(same(point[name], value) for value in values)
            for name, values in decision.when.items()
        )

    def made(self, point: Point) -> Iterator[Decision]:
        """The decisions that a point, made so far as it is, asks for."""
        return (decision for decision in self.decisions if self.asks_for(decision, point))

    def sample(self, random: Random) -> dict[str, Any]:
        """A point, each decision uniform."""
        point: dict[str, Any] = {}
        for decision in self.decisions:
            if self.asks_for(decision, point):
                point[decision.name] = decision.sample(random)
        return point

    def completed(self, values: Point, random: Random) -> dict[str, Any]:
        """A point with these values where its decisions are made; others are drawn."""
        point: dict[str, Any] = {}
        for decision in self.decisions:
            if self.asks_for(decision, point):
                known = decision.name in values
                point[decision.name] = values[decision.name] if known else decision.sample(random)
        return point

    def mutated(self, point: Point, random: Random) -> dict[str, Any]:
        """The point with one decision changed, and those that depend on it drawn anew where they were not made."""
        open_ones = [name for name in point if self[name].count > 1]
        name = open_ones[int(random.random() * len(open_ones))]
        return self.completed({**point, name: self[name].mutated(point[name], random)}, random)

    def neighbours(self, point: Point, random: Random) -> list[dict[str, Any]]:
        """The points that differ in one decision, in order of the decisions."""
        return [
            self.completed({**point, name: value}, random)
            for name in point
            for value in self[name].neighbours(point[name])
        ]

    def points(self) -> Iterator[dict[str, Any]]:
        """All points of a finite space, in order."""
        yield from self._points(0, {})

    def _points(self, place: int, made: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if place == len(self.decisions):
            yield made
            return
        decision = self.decisions[place]
        if not self.asks_for(decision, made):
            yield from self._points(place + 1, made)
            return
        if not math.isfinite(decision.count):
            raise UsageError(f"'{decision.name}' is a range of real numbers: its values cannot be listed")
        count = int(decision.count)
        for cell in range(count):
            value = decision.in_cell(cell, count, Random(0))
            yield from self._points(place + 1, {**made, decision.name: value})

    def key(self, point: Point) -> str:
        """A point as text: equal for equal points."""
        return json.dumps({name: plain(value) for name, value in point.items()}, sort_keys=True)

    def check(self, point: Point) -> None:
        """Raise UsageError for what is no point of the space."""
        wanted = [decision.name for decision in self.made(point)]
        for name in point:
            if name not in self._by_name:
                raise unknown("decision", name, self._by_name)
        for name in wanted:
            if name not in point:
                raise UsageError(f"the point has no value of '{name}'")
            if not self[name].contains(point[name]):
                raise UsageError(f"{plain(point[name])} is no value of '{name}': {self[name]}")
        for name in point:
            if name not in wanted:
                raise UsageError(f"'{name}' is not a decision of this point: it depends on {self._condition(name)}")

    def _condition(self, name: str) -> str:
        return " and ".join(f"{other}={'|'.join(str(plain(v)) for v in vs)}" for other, vs in self[name].when.items())

    def describe(self, point: Point) -> str:
        """A point in words: ``lr=0.0031, optimizer=sgd``."""
        return ", ".join(f"{name}={shown(value)}" for name, value in point.items())


def read_space(file: str | Path) -> dict[str, Any]:
    """The plain values of a space in a YAML file. Raises UsageError."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the space {file}: {getattr(error, 'strerror', None) or error}") from None
    values = read_yaml(text, str(file))
    if not isinstance(values, Mapping):
        raise UsageError(f"{file} holds no space: expected 'decision: [values]' lines")
    return {str(name): value for name, value in values.items()}


def shown(value: Any) -> str:
    """A value of a decision for people: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(plain(value))


def _decision(name: str, value: Any) -> Decision:
    """One decision from plain values. Raises UsageError."""
    if isinstance(value, list | tuple):
        return Choice(name, tuple(_hashable(item) for item in value))
    if not isinstance(value, Mapping):
        raise UsageError(f"'{name}': expected a list of values, or low and high of a range, got {value!r}")
    for key in value:
        if key not in KEYS:
            raise unknown(f"key of '{name}'", str(key), KEYS)
    when = _when(name, value.get("when"))
    ranged = [key for key in ("low", "high", "log", "step") if key in value]
    if "values" in value:
        if ranged:
            raise UsageError(f"'{name}' has values and {ranged[0]}: it is a choice, or a range")
        values = value["values"]
        if not isinstance(values, list | tuple):
            raise UsageError(f"'{name}': values is a list, got {values!r}")
        return Choice(name, tuple(_hashable(item) for item in values), when)
    if "low" not in value or "high" not in value:
        raise UsageError(f"'{name}' needs low and high of its range, or a list of values")
    low, high, step = (_number(name, key, value.get(key)) for key in ("low", "high", "step"))
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"'{name}': log is true or false, got {log!r}")
    if low is None or high is None:
        raise UsageError(f"'{name}' needs low and high of its range")
    integer = all(isinstance(number, int) for number in (low, high, 1 if step is None else step))
    return Range(name, low, high, log=log, integer=integer, step=step, when=when)


def _when(name: str, value: Any) -> dict[str, tuple[Any, ...]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"'{name}': when is a mapping, such as {{optimizer: sgd}}, got {value!r}")
    return {
        str(other): tuple(_hashable(v) for v in (values if isinstance(values, list | tuple) else [values]))
        for other, values in value.items()
    }


def _number(name: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"'{name}': {key} is a number, got {value!r}")
    return value


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(decision: Decision) -> Any:
    when = {name: [plain(v) for v in values] for name, values in decision.when.items()}
    if isinstance(decision, Choice):
        values = [plain(value) for value in decision.values]
        return {"values": values, "when": when} if when else values
    assert isinstance(decision, Range)
    out: dict[str, Any] = {"low": decision.low, "high": decision.high}
    out |= {"log": True} if decision.log else {}
    out |= {"step": decision.step} if decision.step is not None else {}
    return out | ({"when": when} if when else {})


def _ordered(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Each decision after those that it depends on; otherwise as given. Raises UsageError for a circle."""
    names = {decision.name for decision in decisions}
    left = list(decisions)
    done: list[Decision] = []
    while left:
        ready = {d.name for d in done}
        free = [d for d in left if all(other in ready or other not in names for other in d.when)]
        if not free:
            circle = ", ".join(f"'{d.name}' on {' and '.join(map(repr, d.when))}" for d in left)
            raise UsageError(f"the conditions go round in a circle: {circle}")
        done.append(free[0])
        left.remove(free[0])
    return tuple(done)


def _check_condition(decision: Decision, known: Mapping[str, Decision]) -> None:
    for other, values in decision.when.items():
        if other not in known:
            raise unknown(f"decision in the condition of '{decision.name}':", other, known)
        asked = known[other]
        if not isinstance(asked, Choice):
            raise UsageError(f"'{decision.name}' depends on '{other}', a range: conditions are on choices")
        for value in values:
            if not asked.contains(value):
                raise UsageError(f"'{decision.name}' depends on {other}={plain(value)}, which is none of {asked}")
