"""Intervals from the residuals of windows that a model was not trained on (split conformal prediction).

Legend: N windows, H horizon, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.errors import UsageError

RESIDUALS = "residuals"
"""name of the fitted tensor: (99, H, C), the quantile of |residual| for each whole level in per cent"""


def conformal_quantile(residual_NHC: Tensor, level: float) -> Tensor:
    """The ceil((n + 1) level)-th smallest |residual| (H, C) of each step and channel; NaN ones are missing; infinite
    where there are too few.

    Lei et al., "Distribution-free predictive inference for regression", 2018. It covers a share ``level`` of new values
    if these are exchangeable with the residuals, which values of series are not.

    >>> conformal_quantile(torch.arange(1.0, 10.0).reshape(9, 1, 1), 0.8).item()
    8.0
    """
    ordered = residual_NHC.abs().nan_to_num(torch.inf).sort(0).values
    count_HC = (~residual_NHC.isnan()).sum(0)
    rank_HC = torch.ceil((count_HC + 1) * level - 1e-9).long() - 1
    found = ordered.gather(0, rank_HC.clamp(0, max(len(ordered) - 1, 0))[None])[0]
    return found.masked_fill(rank_HC >= count_HC, torch.inf)


def fitted_quantiles(residual_NHC: Tensor) -> Tensor:
    """``conformal_quantile`` for each level of 1 to 99 per cent, (99, H, C)."""
    ordered = residual_NHC.abs().nan_to_num(torch.inf).sort(0).values
    count_HC = (~residual_NHC.isnan()).sum(0)
    level_99 = torch.arange(1, 100, dtype=torch.float64)[:, None, None] / 100
    rank = torch.ceil((count_HC + 1) * level_99 - 1e-9).long() - 1
    found = ordered.gather(0, rank.clamp(0, len(ordered) - 1))
    return found.masked_fill(rank >= count_HC, torch.inf)


def radius(fitted: Tensor, level: int) -> Tensor:
    """The half width (H, C) of intervals of a level. Raises UsageError where there were too few residuals for it."""
    found = fitted[level - 1]
    if torch.isinf(found).any():
        reached = [k + 1 for k in range(len(fitted)) if not torch.isinf(fitted[k]).any()]
        most = f"up to {max(reached)}" if reached else "none"
        raise UsageError(f"too few validation windows for intervals of {level} %: levels they allow: {most} (--level)")
    return found


def rolling_intervals(
    y_NHC: Tensor,
    target_NHC: Tensor,
    seen_NHC: Tensor,
    origin_N: Tensor,
    before: tuple[Tensor, Tensor],
    level: float,
    every: int,
    memory: int = 720,
) -> Tensor:
    """Half widths (N, H, C) for windows in order of their origins, each from the latest ``memory`` residuals that are
    complete at its origin: of windows that began H rows before, or earlier. ``before`` are |residuals| (M, H, C), NaN
    where missing, and origins (M,) of windows before these. The quantile is worked out anew after ``every`` windows.
    """
    horizon = y_NHC.shape[1]
    residual = (y_NHC - target_NHC).abs().masked_fill(~seen_NHC, torch.nan)
    every_residual = torch.cat([before[0].to(residual), residual])
    every_origin = torch.cat([before[1], origin_N])
    found = torch.empty_like(y_NHC)
    for start in range(0, len(y_NHC), every):
        complete = int(torch.searchsorted(every_origin, origin_N[start] - horizon, right=True))
        pool = every_residual[max(0, complete - memory) : complete]
        if len(pool):
            found[start : start + every] = conformal_quantile(pool, level)
        else:
            found[start : start + every] = torch.inf
    return found
