"""Columns that alone determine the target: often the target itself, or something known only after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ROWS = 30
"""rows below which a column determines the target by chance, or because the data are easy"""
FEWEST_OF_CLASS = 5
ROWS_OF_VALUE = 5
"""rows for each value of a category on average, below which categories determine anything"""
FEWEST_VALUES = 20
"""different numbers from which a target that rises or falls with them does not do so by chance"""
PROBED = 1000
"""rows looked at before all of them are"""

Array = np.ndarray[Any, Any]


def determines(column: pd.Series[Any], targets: Array) -> bool:
    """Whether a column predicts the target of every row: each class is an interval of its numbers, or each of its few
    values belongs to one class; a target (N,) of floats is a linear or strictly monotonic function of its numbers.

    Example: ``determines(frame["price in euros"], prices_in_dollars)``
    """
    test = _class_of if targets.dtype.kind == "i" else _value_of
    if len(targets) < FEWEST_ROWS or (targets == targets[0]).all():
        return False
    # the first rows may hold one class only, which says nothing against the column
    probed = column.iloc[:PROBED], targets[:PROBED]
    return bool(test(*probed, whole=False) and test(column, targets, whole=True))


def _class_of(column: pd.Series[Any], targets: Array, *, whole: bool) -> bool:
    import pandas as pd

    counts = np.bincount(targets)
    if whole and counts[counts > 0].min() < FEWEST_OF_CLASS:
        return False
    codes, distinct = pd.factorize(column, sort=column.dtype.kind == "f", use_na_sentinel=False)
    lowest, highest = np.full(len(distinct), len(counts)), np.full(len(distinct), -1)
    np.minimum.at(lowest, codes, targets)
    np.maximum.at(highest, codes, targets)
    if (lowest != highest).any():
        return False  # a value with two classes
    if column.dtype.kind == "f":
        present = lowest[~pd.isna(distinct)]
        runs = 1 + int((present[1:] != present[:-1]).sum())
        if runs <= int((counts > 0).sum()):
            return True
    return not whole or len(distinct) * ROWS_OF_VALUE <= len(targets)


def _value_of(column: pd.Series[Any], targets: Array, *, whole: bool) -> bool:
    if column.dtype.kind != "f" or column.isna().any():
        return False
    values = column.to_numpy()
    order = np.lexsort((targets, values))
    steps, rises = np.diff(values[order]), np.diff(targets[order])
    if (rises[steps == 0] != 0).any():
        return False
    rises = rises[steps > 0]
    monotonic = bool((rises > 0).all() or (rises < 0).all())
    return monotonic and (not whole or len(rises) + 1 >= FEWEST_VALUES)
