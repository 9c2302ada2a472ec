"""What is done to the scores of a series, row by row, each from the rows before it alone.

Legend: N rows of a series, in order of time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST = 10
"""rows before, without which a score is not standardised but 0"""


def standardised(score_N: Tensor, rows: int) -> Tensor:
    """|x_t - mean| / deviation of the scores of up to ``rows`` rows before t; 0 for the first ten, and where they are
    all alike.

    >>> standardised(torch.tensor([1.0, 3.0] * 6 + [10.0]), 12)[-1]
    tensor(8., dtype=torch.float64)
    """
    x_N = score_N.double()
    x_N = x_N - x_N[:LEAST].mean() if len(x_N) else x_N  # sums of squares keep their digits; rows to come have no part
    zero = torch.zeros(1, dtype=torch.float64)
    sums, squares = torch.cat([zero, x_N.cumsum(0)]), torch.cat([zero, x_N.square().cumsum(0)])
    end_N = torch.arange(len(x_N))
    start_N = (end_N - rows).clamp_min(0)
    count_N = (end_N - start_N).double()
    mean_N = (sums[end_N] - sums[start_N]) / count_N.clamp_min(1)
    variance_N = (squares[end_N] - squares[start_N]) / count_N.clamp_min(1) - mean_N.square()
    std_N = variance_N.clamp_min(0).sqrt()
    sure_N = (count_N >= LEAST) & (std_N > 1e-9 * (1 + mean_N.abs()))
    return torch.where(sure_N, (x_N - mean_N).abs() / std_N.clamp_min(1e-300), torch.zeros_like(x_N))


def silenced(score_N: Tensor, rows: int) -> Tensor:
    """The scores that are above all of the ``rows`` rows before them; -inf for the others.

    >>> silenced(torch.tensor([1.0, 3.0, 2.0, 3.0, 1.0, 2.5]), 2)
    tensor([1.0000, 3.0000,   -inf,   -inf,   -inf,   -inf])
    """
    if not rows or not len(score_N):
        return score_N
    before = torch.cat([torch.full((rows,), -math.inf, dtype=score_N.dtype), score_N[:-1]])
    largest_N = before.unfold(0, rows, 1).max(1).values
    return torch.where(score_N > largest_N, score_N, torch.full_like(score_N, -math.inf))


def threshold(score_N: Tensor, share: float) -> float:
    """The smallest score that at most this share of ``score_N`` is above; inf without any.

    >>> threshold(torch.arange(1000.0), 0.001)
    998.0
    """
    if not len(score_N):
        return math.inf
    above = math.floor(share * len(score_N) + 1e-9)
    return float(score_N.sort(descending=True).values[min(above, len(score_N) - 1)])
