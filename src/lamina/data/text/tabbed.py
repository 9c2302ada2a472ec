"""Tab-separated lines of two texts: with numbers before them, or an attribution after them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lamina.data.tabular.columns import FEW_CATEGORIES

UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""letters of languages that are written without blanks between words"""
MOSTLY = 0.9
"""share of lines of one form above which another line is an error"""


def pair_columns(columns: Sequence[Sequence[object]]) -> tuple[int, int] | None:
    """The two columns of texts: first and second, with an attribution after them (ManyThings) or a number before them
    or before each (Tatoeba). None for another number of columns.

    Example: ``pair_columns([["1276"], ["Let's go."], ["2"], ["Allons-y."]])`` is ``(1, 3)``.
    """
    numbers = [all(str(text).strip().isdecimal() for text in column) for column in columns]
    if len(columns) == 4 and numbers[0] and numbers[2]:
        return 1, 3
    if len(columns) == 3 and numbers[0] and not numbers[1]:
        return 1, 2
    return (0, 1) if len(columns) in (2, 3) else None


def is_tabbed(columns: Sequence[Sequence[object]]) -> bool:
    """Whether columns without a header look like pairs of free texts."""
    found = pair_columns(columns)
    return found is not None and all(looks_written(columns[k]) for k in found)


def looks_written(texts: Sequence[object]) -> bool:
    """Whether these are free texts: more than 20 different ones, most with blanks or in a script without."""
    if len(set(texts)) <= FEW_CATEGORIES or not all(isinstance(text, str) for text in texts):
        return False
    written = sum(len(text.split(maxsplit=1)) > 1 or UNSPACED.search(text) is not None for text in map(str, texts))
    return 2 * written > len(texts)


def holds_pairs(rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all rows, blank ones aside, are pairs: another one is an error, not running text."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    usual = usual_width(filled)
    alike = [row for row in filled if len(row) == usual]
    return len(alike) >= MOSTLY * len(filled) > 0 and is_tabbed(list(zip(*alike, strict=True)))


def usual_width(rows: Sequence[Sequence[str]]) -> int:
    """The most frequent number of cells."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
