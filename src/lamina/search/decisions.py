"""One decision of a search space: a choice among values, or a range of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from lamina.errors import UsageError

SPREAD = 0.1
"""standard deviation of a mutated number, as a share of its range"""
STEPS = (0.02, 0.1)
"""distances of a number's neighbours, as shares of its range"""


class Decision(Protocol):
    """What strategies ask of a decision. ``when``: it is made only where other decisions have one of these values."""

    @property
    def name(self) -> str: ...

    @property
    def when(self) -> Mapping[str, tuple[Any, ...]]: ...

    @property
    def count(self) -> float:
        """Number of values; infinite for a range of real numbers."""

    def sample(self, random: Random) -> Any: ...

    def mutated(self, value: Any, random: Random) -> Any:
        """Another value."""

    def neighbours(self, value: Any) -> Iterator[Any]:
        """The values next to one."""

    def contains(self, value: Any) -> bool: ...

    def cells(self, most: int) -> int:
        """Number of cells that the values are divided into, at most ``most`` of a range."""

    def in_cell(self, cell: int, cells: int, random: Random) -> Any:
        """A value of one of ``cells`` cells."""

    def cell_of(self, value: Any, cells: int) -> int: ...

    def position(self, value: Any) -> float:
        """Where a value stands, from 0 to 1: for figures."""

    def __str__(self) -> str: ...


def plain(value: Any) -> Any:
    """Tuples as lists, so that values are those of YAML and JSON."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, their types included: 1 is not true, nor 1.0."""
    return _text(one) == _text(other)


def _text(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, default=str)


@dataclass(frozen=True)
class Choice:
    """A choice among values. Raises UsageError for none, or for one given twice.

    Example: ``Choice("optimizer", ("sgd", "adamw"))``
    """

    name: str
    values: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise UsageError(f"'{self.name}' has no values to choose from")
        texts = [_text(value) for value in self.values]
        for i, text in enumerate(texts):
            if text in texts[:i]:
                raise UsageError(f"'{self.name}' has the value {plain(self.values[i])} twice")

    @property
    def count(self) -> float:
        return len(self.values)

    def index(self, value: Any) -> int:
        """The place of a value. Raises ValueError for another value."""
        return [_text(own) for own in self.values].index(_text(value))

    def sample(self, random: Random) -> Any:
        return self.values[int(random.random() * len(self.values))]

    def mutated(self, value: Any, random: Random) -> Any:
        others = [own for own in self.values if not same(own, value)]
        return others[int(random.random() * len(others))] if others else value

    def neighbours(self, value: Any) -> Iterator[Any]:
        return (own for own in self.values if not same(own, value))

    def contains(self, value: Any) -> bool:
        return any(same(own, value) for own in self.values)

    def cells(self, most: int) -> int:
        return len(self.values)

    def in_cell(self, cell: int, cells: int, random: Random) -> Any:
        return self.values[cell]

    def cell_of(self, value: Any, cells: int) -> int:
        return self.index(value)

    def position(self, value: Any) -> float:
        return self.index(value) / max(len(self.values) - 1, 1)

    def __str__(self) -> str:
        return ", ".join(str(plain(value)) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``log``: uniform in their logarithm. Of whole numbers, or of
    numbers at a ``step`` from ``low``, where asked for. Raises UsageError for a range that is none.

    Example: ``Range("lr", 1e-4, 1e-1, log=True)``
    """

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        low, high, what = self.low, self.high, f"'{self.name}'"
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UsageError(f"{what}: a range needs finite bounds, got {low} to {high}")
        if low > high:
            raise UsageError(f"{what}: the range goes from {low} down to {high}: give the lower bound first")
        if self.log and low <= 0:
            raise UsageError(f"{what}: a log range must be above 0, got {low} to {high}")
        if self.step is not None and not (self.step > 0 and math.isfinite(self.step)):
            raise UsageError(f"{what}: the step of a range must be above 0, got {self.step}")
        if self.step is not None and self.log:
            raise UsageError(f"{what}: a log range has no step")
        whole = (low, high, *([] if self.step is None else [self.step]))
        if self.integer and any(number != int(number) for number in whole):
            raise UsageError(f"{what}: a range of whole numbers, got {', '.join(map(str, whole))}")

    @property
    def _step(self) -> float | None:
        return self.step if self.step is not None else 1 if self.integer else None

    @property
    def count(self) -> float:
        if self.low == self.high:
            return 1
        return math.inf if self._step is None else int((self.high - self.low) / self._step + 1e-9) + 1

    def sample(self, random: Random) -> Any:
        return self._at(random.random())

    def mutated(self, value: Any, random: Random) -> Any:
        if self.count == 1:
            return value
        while True:
            place = self._place(value) + random.gauss(0, SPREAD)
            place = abs(place) % 2  # reflected at both ends
            other = self._at(min(place if place <= 1 else 2 - place, _BELOW_1))
            if other != value:
                return other
            if self._step is not None:  # the spread may be less than a step
                options = list(self.neighbours(value))
                return options[int(random.random() * len(options))]

    def neighbours(self, value: Any) -> Iterator[Any]:
        seen = {value}
        moves = [share * sign for share in STEPS for sign in (1, -1)]
        near = [self._at(min(max(self._place(value) + move, 0.0), _BELOW_1)) for move in moves]
        if self._step is not None:
            near += [self._number(value + self._step), self._number(value - self._step)]
        for other in near:
            if other not in seen and self.low <= other <= self.high:
                seen.add(other)
                yield other

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self._step is None:
            return True
        steps = (value - self.low) / self._step
        return abs(steps - round(steps)) < 1e-9

    def cells(self, most: int) -> int:
        return int(min(self.count, most))

    def in_cell(self, cell: int, cells: int, random: Random) -> Any:
        if cells == self.count:
            return self._number(self.low + cell * (self._step or 0))
        return self._at(min((cell + random.random()) / cells, _BELOW_1))

    def cell_of(self, value: Any, cells: int) -> int:
        if cells == self.count:
            return round((value - self.low) / self._step) if self._step else 0
        return min(int(self._place(value) * cells), cells - 1)

    def position(self, value: Any) -> float:
        return self._place(value)

    def _place(self, value: float) -> float:
        """Where a number stands, from 0 to 1; that of a step is the middle of its share."""
        if self.low == self.high:
            return 0.5
        if self.log and self.integer:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(value) - low) / (high - low)
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        if self._step is not None:
            return (round((value - self.low) / self._step) + 0.5) / self.count
        return (value - self.low) / (self.high - self.low)

    def _at(self, place: float) -> Any:
        """The number at a place in [0, 1)."""
        if self.low == self.high:
            return self._number(self.low)
        if self.log and self.integer:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return self._number(min(max(round(math.exp(low + place * (high - low))), self.low), self.high))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + place * (high - low)), self.low), self.high)
        if self._step is not None:
            return self._number(self.low + int(place * self.count) * self._step)
        return min(self.low + place * (self.high - self.low), self.high)

    def _number(self, value: float) -> Any:
        return int(value) if self.integer else float(value)

    def __str__(self) -> str:
        more = ", log" if self.log else f", step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{more}"


_BELOW_1 = 1 - 2**-53
