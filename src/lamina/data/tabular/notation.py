"""How the numbers of a table are written: decimal mark, mark between thousands, sign, currency and per cent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lamina.data.tabular.cells import NO_NUMBERS, Texts, first_leading_zero, plain_number

CURRENCY = (
    r"(?:[A-Z]{1,2}\$|\p{Sc}|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|NZD|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|RUB|TRY|BRL"
    r"|ZAR|KRW|MXN|SGD|HKD|kr\.?|zł|Kč|Ft|Fr\.|Rs\.?)"
)
NUMBER = (
    r"^(?P<open>\(?) *(?P<sign>[+-]?) *(?P<before>" + CURRENCY + r"?) *(?P<inner>[+-]?)"
    r"(?P<core>[0-9.,' ]*[0-9][0-9.,']*)(?P<exponent>(?:[eE][+-]?[0-9]+)?) *(?P<after>(?:%|‰|" + CURRENCY + r")?)"
    r" *(?P<close>\)?)$"
)
SAME = (
    ("[\u00a0\u2007\u2009\u202f]", " "),  # blanks that do not break
    ("[\u2018\u2019\u02bc]", "'"),
    ("^[\u2212\u2012\u2013]", "-"),  # the mathematical minus, and dashes used for it
)
GROUP, LAST = "[1-9][0-9]{0,2}", "[0-9]{3}"
"""the first and each other of the groups between marks of thousands"""
PLAINLY = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
THOUSANDS = {"none": "", "space": " "}
"""names of marks between thousands"""


@dataclass(frozen=True)
class Notation:
    """The marks of a column of numbers.

    Example: ``Notation(",", ".")`` reads 1.137,50 as 1137.5.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression for numbers without sign and exponent."""
        whole, mark = "[0-9]+", re.escape(self.decimal)
        if self.thousands == ",":  # also 12,34,567 as in India
            whole = f"(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{2,3}})*,[0-9]{{3}}|{whole})"
        elif self.thousands:
            whole = f"(?:[1-9][0-9]{{0,2}}(?:{re.escape(self.thousands)}[0-9]{{3}})+|{whole})"
        return f"^(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)$"


PLAIN = Notation()


@dataclass(frozen=True)
class Evidence:
    """What the cells of a column say about its marks."""

    decimal: frozenset[str]
    """marks that can only be decimal"""
    thousands: frozenset[str]
    """marks that can only stand between thousands"""
    open: frozenset[str]
    """marks that may be either: 1,234"""

    @property
    def decided(self) -> str | None:
        """The decimal mark, if the cells leave no doubt; a contradiction is left to those that most cells have."""
        if len(self.decimal) == 1:
            return next(iter(self.decimal))
        if not self.decimal and "." in self.thousands and "," not in self.thousands:
            return ","
        if not self.decimal and "," in self.thousands and "." not in self.thousands:
            return "."
        return None

    def notation(self, decimal: str, thousands: str = "auto") -> Notation:
        """The notation with this decimal mark, and the mark between thousands that is seen, or the one given."""
        if thousands != "auto":
            return Notation(decimal, THOUSANDS.get(thousands, thousands))
        other = "." if decimal == "," else ","
        marks = [mark for mark in (other, "'", " ") if mark in self.thousands or (mark in self.open and mark == other)]
        return Notation(decimal, marks[0] if marks else "")


class Numbers:
    """The cells of a column that may be numbers: distinct texts, taken apart."""

    def __init__(self, texts: Texts, usual: bool) -> None:
        """``usual``: whether NA and its like are missing values."""
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = pc.dictionary_encode(texts)
        self.texts, self.distinct = texts, encoded.dictionary
        self.index = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        present = self.index[self.index >= 0]
        counts = np.bincount(present, minlength=len(self.distinct))
        lower = pc.utf8_lower(self.distinct)
        words = pa.array(sorted(NO_NUMBERS) if usual else [], type=pa.large_string())
        self.absent = pc.is_in(lower, value_set=words).to_numpy(zero_copy_only=False)
        """distinct texts that mean a missing value"""
        self.counts = np.where(self.absent, 0, counts)
        """cells of each distinct text, without missing values"""
        self.present = int(self.counts.sum())
        normal = self.distinct
        for pattern, mark in SAME:
            normal = pc.replace_substring_regex(normal, pattern, mark)
        parts = pc.extract_regex(normal, NUMBER)
        matches = pc.and_(parts.is_valid(), pc.invert(pa.array(self.absent, type=pa.bool_())))
        self.parts = {
            name: pc.if_else(matches, pc.struct_field(parts, name), pa.scalar("", type=pa.large_string()))
            for name in ("open", "sign", "before", "inner", "core", "exponent", "after", "close")
        }
        self.core = self.parts["core"]

    def _share(self, mask: np.ndarray[Any, Any]) -> float:
        return float(self.counts[mask].sum() / self.present) if self.present else 0.0

    @cached_property
    def likeness(self) -> float:
        """The share of cells that are numbers in some notation."""
        import pyarrow.compute as pc

        return self._share(pc.not_equal(self.core, "").to_numpy(zero_copy_only=False))

    @cached_property
    def evidence(self) -> Evidence:
        """What the marks of the cells can mean."""
        certain = {
            ".": (r"^[0-9]*\.[0-9]*$", rf"^{GROUP}(?:[,' ][0-9]{{2,3}})*[,' ]{LAST}\.[0-9]*$"),
            ",": (r"^[0-9]*,[0-9]+$", rf"^{GROUP}(?:[.' ]{LAST})+,[0-9]+$"),
        }
        either = {".": rf"^{GROUP}\.{LAST}$", ",": rf"^{GROUP},{LAST}$"}
        decimal = {
            mark
            for mark, patterns in certain.items()
            if self._any(patterns[1]) or self._any(patterns[0], without=either[mark])
        }
        thousands = {
            ",": rf"^{GROUP}(?:,[0-9]{{2,3}})*,{LAST}(?:\.[0-9]*)?$",
            ".": rf"^{GROUP}(?:\.{LAST})+(?:,[0-9]+)?$",
            "'": rf"^{GROUP}(?:'{LAST})+(?:[.,][0-9]*)?$",
            " ": rf"^{GROUP}(?: {LAST})+(?:[.,][0-9]*)?$",
        }
        groups = {mark for mark, pattern in thousands.items() if self._any(pattern, without=either.get(mark))}
        open_ = {mark for mark, pattern in either.items() if self._any(pattern)}
        return Evidence(frozenset(decimal), frozenset(groups), frozenset(open_))

    @property
    def leading_zero(self) -> str | None:
        """A whole number with leading zeros among the cells."""
        at = first_leading_zero(self.core)
        return None if at is None else str(self.distinct[at])

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Currencies and per-cent signs, sorted; "" where a number other than 0 has none, if others have some."""
        import pyarrow as pa
        import pyarrow.compute as pc

        empty = pa.scalar("", type=pa.large_string())
        units = pc.binary_join_element_wise(self.parts["before"], self.parts["after"], empty)
        counted = pc.or_(pc.not_equal(units, ""), pc.match_substring_regex(self.core, "[1-9]"))
        found = set(pc.unique(units.filter(pc.and_(counted, pc.not_equal(self.core, "")))).to_pylist())
        return () if found <= {""} else tuple(sorted(found))

    def values(self, notation: Notation) -> np.ndarray[Any, Any]:
        """The number of each distinct text, NaN where it is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        none, empty = (pa.scalar(text, type=pa.large_string()) for text in (None, ""))
        text = pc.if_else(pc.match_substring_regex(self.core, notation.pattern), self.core, none)
        if notation.thousands:
            text = pc.replace_substring(text, notation.thousands, "")
        if notation.decimal != ".":
            text = pc.replace_substring(text, notation.decimal, ".")
        text = pc.binary_join_element_wise(text, self.parts["exponent"], empty)
        numbers = pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        opened, closed = (pc.not_equal(self.parts[name], "") for name in ("open", "close"))
        outer, inner = (self.parts[name] for name in ("sign", "inner"))
        signs = [pc.not_equal(one, "").to_numpy(zero_copy_only=False) for one in (outer, inner)]
        brackets = [one.to_numpy(zero_copy_only=False) for one in (opened, closed)]
        wrong = (signs[0] & signs[1]) | (brackets[0] != brackets[1]) | (brackets[0] & (signs[0] | signs[1]))
        minus = [pc.equal(one, "-").to_numpy(zero_copy_only=False) for one in (outer, inner)]
        negative = minus[0] | minus[1] | brackets[0]
        return np.where(wrong, np.nan, np.where(negative, -numbers, numbers))

    def share(self, values: np.ndarray[Any, Any]) -> float:
        """The share of cells with a number."""
        return self._share(~np.isnan(values))

    def spread(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The value of each cell, from those of the distinct texts; NaN for missing values."""
        found: np.ndarray[Any, Any] = np.append(values, np.nan)[self.index]
        return found

    def first(self, distinct: np.ndarray[Any, Any]) -> int:
        """The first cell with one of the marked distinct texts."""
        return int(np.append(distinct, False)[self.index].argmax())

    def first_open(self) -> tuple[int, str]:
        """The first cell whose mark can be read in two ways, and its text."""
        import pyarrow.compute as pc

        found = pc.match_substring_regex(self.core, f"^{GROUP}[.,]{LAST}$").to_numpy(zero_copy_only=False)
        return self.first(found), str(self.distinct[int(found.argmax())])

    @property
    def look_grouped(self) -> bool:
        """Whether points that can be read in two ways stand beside whole numbers, and one before zeros: 950 and 1.200.
        Nobody who writes 950 for 950.000 writes 1.200 for 1.2."""
        return self._any("^[0-9]{1,3}$") and self._any(rf"^{GROUP}\.[0-9]{{2}}0$")

    def example(self, values: np.ndarray[Any, Any], notation: Notation) -> str:
        """How a number that Python would read otherwise, or not at all, is read; "" if there is none."""
        import pyarrow.compute as pc

        usual = pc.match_substring_regex(self.distinct, PLAINLY)
        if notation.decimal != ".":
            usual = pc.and_not(usual, pc.match_substring(self.distinct, "."))
        other = np.flatnonzero(~usual.to_numpy(zero_copy_only=False) & ~np.isnan(values))
        if not len(other):
            return ""
        return f"'{self.distinct[int(other[0])]}' is read as {plain_number(str(values[other[0]]))}"

    def best(self) -> Notation:
        """The notation that reads most cells."""
        both = [self.evidence.notation(mark) for mark in (".", ",")]
        return max(both, key=lambda notation: self.share(self.values(notation)))

    def repeats(self, values: np.ndarray[Any, Any], few: int) -> bool:
        """Whether the cells that are no numbers are the same few texts again and again, among more than ``few``
        different numbers."""
        wrong = np.isnan(values) & ~self.absent
        different = len(np.unique(values[~np.isnan(values)]))
        return different > few and self.share(values) > 0.5 and self.counts[wrong].sum() >= 2 * wrong.sum()

    def _any(self, pattern: str, without: str | None = None) -> bool:
        import pyarrow.compute as pc

        found = pc.match_substring_regex(self.core, pattern)
        if without is not None:
            plain = pc.and_(pc.match_substring_regex(self.core, without), pc.equal(self.parts["exponent"], ""))
            found = pc.and_not(found, plain)
        return bool(pc.any(found).as_py())
