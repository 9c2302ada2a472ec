"""Values of categories that training had not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.columns import UNSEEN, category_indices
from lamina.data.tabular.reading import shown

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""values of a column that are named"""


def unseen(
    frame: pd.DataFrame, known: Mapping[str, Sequence[str]], missing: Sequence[str] = (), absent: Collection[str] = ()
) -> list[str]:
    """For each column of categories the values that are not among those ``known``, with the number of their rows: to
    the model such a row has none of the categories. ``missing`` and ``absent`` mean a missing value, as in
    ``category_indices``.

    Example: ``unseen(frame, {"city": ("Oslo", "Rome")})``
    """
    found = []
    for column, categories in known.items():
        if column not in frame.columns:
            continue
        rows = np.flatnonzero(category_indices(frame[column], categories, missing, absent) == UNSEEN)
        counts = Counter(as_texts(frame[column].iloc[rows], missing).to_pylist())
        named = [f"{shown(text)} ({count:,} {'row' if count == 1 else 'rows'})" for text, count in counts.most_common()]
        more = [f"and {len(named) - SHOWN:,} more"] if len(named) > SHOWN else []
        if named:
            values = ", ".join([*named[:SHOWN], *more])
            found.append(f"column '{column}' has values that the training data had not: {values}")
    return found
