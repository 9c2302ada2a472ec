"""Permutation importance: which columns a model depends on (Breiman 2001, "Random forests", section 10)."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from lamina.randomness import derive

if TYPE_CHECKING:
    import pandas as pd


def permutation_importance(
    score: Callable[[pd.DataFrame], float], frame: pd.DataFrame, *, seed: int = 0, repeats: int = 5
) -> list[tuple[str, float, float]]:
    """(column, mean drop of the score when the column is shuffled, its standard deviation), most important first.

    ``score`` maps a frame to a number that is higher for better predictions. It is called once with the frame itself
    and ``repeats`` times per column; the shuffles depend on ``seed`` only.
    """
    whole = score(frame)
    found = []
    for column in frame.columns:
        falls = []
        for repeat in range(repeats):
            generator = torch.Generator().manual_seed(derive(seed, "importance", column, repeat))
            order = torch.randperm(len(frame), generator=generator).tolist()
            falls.append(whole - score(frame.assign(**{column: frame[column].iloc[order].to_numpy()})))
        found.append((str(column), statistics.fmean(falls), statistics.pstdev(falls)))
    return sorted(found, key=lambda row: -row[1])
