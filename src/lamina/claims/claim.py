"""A claim, and how its verdict follows from the measured numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lamina.randomness import derive
from lamina.report.wording import rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["holds", "fails", "inconclusive"]
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of an experiment, as scalars and tuples; a claim adds its own. They are fixed before the verdict."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The bar that a number must clear: one of ``at_most``, ``at_least``, and ``equals`` for an exact result.

    The number is never negative. Raises ValueError unless exactly one bound above zero is given.
    """

    number: str
    why: str
    """the reason for this bar"""
    at_most: float | None = None
    at_least: float | None = None
    equals: float | None = None

    def clearance(self, value: float) -> float:
        """The ratio by which ``value`` clears the bar: 1 is just enough, below 1 fails; 0 for NaN, inf if exact."""
        if isnan(value):
            return 0.0
        if self.equals is not None:
            return inf if value == self.equals else 0.0
        if self.at_most is not None:
            return inf if value <= 0 else self.at_most / value
        assert self.at_least is not None
        return value / self.at_least

    def __post_init__(self) -> None:
        given = [value for value in (self.at_most, self.at_least, self.equals) if value is not None]
        if len(given) != 1 or not given[0] > 0:
            raise ValueError(f"the bar of {self.number} needs one of at_most, at_least and equals, above zero")

    def __str__(self) -> str:
        for sign, value in (("=", self.equals), ("≤", self.at_most), ("≥", self.at_least)):
            if value is not None:
                return f"{sign} {rounded(value)}"
        raise AssertionError("a bar has one of them")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The result of one seed."""

    numbers: dict[str, float]
    arrays: dict[str, Array] = field(default_factory=dict)
    """for the figure only"""


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Claim(Generic[S]):
    """A statement of the field and the experiment that tests it."""

    name: str
    sentence: str
    source: str
    """authors, title, venue, year"""
    settings: S
    measure: Callable[[S, int], Measurement]
    """(settings, seed) -> numbers; all randomness comes from the seed"""
    bars: tuple[Bar, ...]
    universal: bool
    """True: a statement about every case, which one counter-example refutes. False: a tendency across seeds"""
    figure: Callable[[Figure, S, Sequence[Measurement]], None]
    """plots the measurements of all seeds"""
    caption: str
    """what the figure shows"""
    reading: str
    """a paragraph that interprets the numbers: {name} is a number's mean over seeds, {name:5} the mean to five digits,
    {setting.name} a setting"""
    names: Mapping[str, str]
    """a description of each number"""
    width: int = 560
    height: int = 280
    """of the figure, in CSS pixels"""
    arxiv: str = ""
    loose: str = ""
    """a loose or wrong form in which it is often quoted, and what is right"""
    margin: float = 1.0
    """the ratio by which every seed must clear every bar: 2 if the number was known when the bar was set"""


def judge(
    bars: Sequence[Bar], numbers: Mapping[str, Sequence[float]], *, universal: bool, margin: float = 1.0
) -> Verdict:
    """The verdict on ``numbers``, given by seed.

    "holds" if every seed clears every bar by ``margin``; "fails" if no seed clears all bars, or one does not and the
    claim is universal; else (the seeds disagree, a bar is cleared too narrowly) "inconclusive".
    """
    by_seed = clearances(bars, numbers)
    if min(by_seed) >= margin:
        return "holds"
    if max(by_seed) < 1 or (universal and min(by_seed) < 1):
        return "fails"
    return "inconclusive"


def clearances(bars: Sequence[Bar], numbers: Mapping[str, Sequence[float]]) -> list[float]:
    """For each seed the smallest ratio by which it clears a bar."""
    per_bar = [[bar.clearance(value) for value in numbers[bar.number]] for bar in bars]
    return [min(of_seed) for of_seed in zip(*per_bar, strict=True)]


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A generator for one purpose within one seed of a claim."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


AnyClaim = Claim[Any]
