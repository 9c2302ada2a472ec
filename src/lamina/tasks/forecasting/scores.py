"""Scores of forecasts in standard deviations of training and in own units.

Legend: N windows, H horizon, C channels, Q quantiles, S series.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.tasks.forecasting.metrics import pinball


@dataclass(frozen=True)
class Truth:
    """What came, in standard deviations of training, and the units of each window."""

    target_NHC: Tensor
    seen_NHC: Tensor
    """bool: which values count"""
    series_N: Tensor
    origin_N: Tensor
    """the row of the first step"""
    std_NC: Tensor
    mean_NC: Tensor
    scale_NC: Tensor
    """mean absolute error of the seasonal naive forecast in training, own units; NaN where it has none"""

    def __len__(self) -> int:
        return len(self.target_NHC)

    def at(self, index_N: Tensor) -> Truth:
        """Some of the windows."""
        return Truth(*(getattr(self, name)[index_N] for name in self.__dataclass_fields__))


def scores(truth: Truth, y_NHC: Tensor) -> dict[str, float]:
    """Mean squared and absolute error in standard deviations, "mse" and "mae"; in own units "own_mae", "own_rmse",
    "smape" (0 to 200, 0/0 = 0) and "mase", the mean over series and channels where the naive error is not 0 (absent
    where there are none)."""
    seen = truth.seen_NHC
    if not seen.any():
        return {}
    error = (y_NHC.double() - truth.target_NHC.double()).masked_fill(~seen, 0.0)
    count = seen.sum().double()
    std, mean = truth.std_NC.double()[:, None], truth.mean_NC.double()[:, None]
    own = error * std
    size = (y_NHC.double() * std + mean).abs() + (truth.target_NHC.double() * std + mean).abs()
    share = torch.where(size > 0, own.abs() / size.clamp_min(1e-300), 0.0)
    found = {
        "mse": float(error.square().sum() / count),
        "mae": float(error.abs().sum() / count),
        "own_mae": float(own.abs().sum() / count),
        "own_rmse": float((own.square().sum() / count).sqrt()),
        "smape": float(200 * share.sum() / count),
    }
    mase = _mase(truth, own.abs())
    return found if mase is None else {**found, "mase": mase}


def _mase(truth: Truth, own_NHC: Tensor) -> float | None:
    """MASE of each series and channel, averaged; None where no naive error is above 0."""
    series = int(truth.series_N.max()) + 1
    channels = own_NHC.shape[2]
    error_SC = torch.zeros(series, channels, dtype=torch.float64).index_add_(0, truth.series_N, own_NHC.sum(1))
    count_SC = torch.zeros_like(error_SC).index_add_(0, truth.series_N, truth.seen_NHC.sum(1).double())
    scale_SC = torch.full_like(error_SC, torch.nan)
    scale_SC[truth.series_N] = truth.scale_NC.double()
    found = (error_SC / count_SC / scale_SC)[count_SC > 0]
    found = found[torch.isfinite(found)]
    return float(found.mean()) if len(found) else None


def crps(truth: Truth, quantiles_NHCQ: Tensor) -> float:
    """Twice the mean pinball loss over equally spaced quantiles, in standard deviations; of one number the absolute
    error."""
    each = 2 * pinball(truth.target_NHC.double(), quantiles_NHCQ.double()).mean(-1)
    return float(each.masked_fill(~truth.seen_NHC, 0.0).sum() / truth.seen_NHC.sum())


def coverage(truth: Truth, lower_NHC: Tensor, upper_NHC: Tensor) -> tuple[float, float, float]:
    """The share of values inside, and the mean width of intervals in standard deviations and in own units."""
    inside = (lower_NHC <= truth.target_NHC) & (truth.target_NHC <= upper_NHC) & truth.seen_NHC
    width = (upper_NHC - lower_NHC).double().masked_fill(~truth.seen_NHC, 0.0)
    count = truth.seen_NHC.sum().double()
    own = width * truth.std_NC.double()[:, None]
    return float(inside.sum() / count), float(width.sum() / count), float(own.sum() / count)
