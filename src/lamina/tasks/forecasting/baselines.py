"""Forecasts without training, or by one least-squares fit: what every model has to beat.

Legend: B batch, T rows of history, L context, H horizon, C channels, m rows of a season, N windows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.tasks.forecasting.metrics import seasonal_naive

__all__ = ["LeastSquares", "drift", "naive", "seasonal_mean", "seasonal_naive"]


def naive(past_BTC: Tensor, horizon: int) -> Tensor:
    """The last value, (B, H, C)."""
    return past_BTC[:, -1:].expand(-1, horizon, -1)


def seasonal_mean(past_BTC: Tensor, horizon: int, season: int, seasons: int | None = None) -> Tensor:
    """The mean of the last k whole seasons, phase by phase, (B, H, C); by default all that the history has.

    >>> seasonal_mean(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]), horizon=3, season=2).flatten()
    tensor([2., 3., 2.])
    """
    count = past_BTC.shape[1] // season if seasons is None else seasons
    last_BTC = past_BTC[:, past_BTC.shape[1] - count * season :]
    whole_BKMC = last_BTC.reshape(len(last_BTC), count, season, -1)
    return whole_BKMC.mean(1)[:, torch.arange(horizon, device=past_BTC.device) % season]


def drift(past_BTC: Tensor, horizon: int) -> Tensor:
    """y_T + h (y_T - y_1) / (T - 1), (B, H, C): the line through the first and the last value.

    >>> drift(torch.tensor([[[1.0], [5.0], [3.0]]]), horizon=2).flatten()
    tensor([4., 5.])
    """
    slope_B1C = (past_BTC[:, -1:] - past_BTC[:, :1]) / max(1, past_BTC.shape[1] - 1)
    steps_H1 = torch.arange(1, horizon + 1, device=past_BTC.device).to(past_BTC)[:, None]
    return past_BTC[:, -1:] + steps_H1 * slope_B1C


class LeastSquares:
    """The linear map from window to horizon of least squared error, one for all channels, with an intercept.

    Windows are added batch by batch to the normal equations in float64.

    >>> fit = LeastSquares(context=2, horizon=1)
    >>> fit.add(torch.randn(50, 2, 3), torch.zeros(50, 1, 3))
    >>> fit(torch.randn(4, 2, 3)).shape
    torch.Size([4, 1, 3])
    """

    def __init__(self, context: int, horizon: int) -> None:
        self.gram = torch.zeros(context + 1, context + 1, dtype=torch.float64)
        self.moment = torch.zeros(context + 1, horizon, dtype=torch.float64)
        self._weight: Tensor | None = None

    def add(self, past_BLC: Tensor, target_BHC: Tensor, seen_BHC: Tensor | None = None) -> None:
        """Windows to fit; a channel of a window with a missing target is left out."""
        x_NL, y_NH = (part.transpose(1, 2).flatten(0, 1).double() for part in (past_BLC, target_BHC))
        if seen_BHC is not None:
            kept_N = seen_BHC.all(1).flatten()
            x_NL, y_NH = x_NL[kept_N], y_NH[kept_N]
        x_NL = torch.cat([x_NL, x_NL.new_ones(len(x_NL), 1)], 1)
        self.gram += x_NL.T @ x_NL
        self.moment += x_NL.T @ y_NH
        self._weight = None

    def __call__(self, past_BLC: Tensor) -> Tensor:
        """Forecasts (B, H, C)."""
        if self._weight is None:
            self._weight = torch.linalg.lstsq(self.gram, self.moment, driver="gelsd").solution
        weight_LH = self._weight
        y_BCH = past_BLC.transpose(1, 2).double() @ weight_LH[:-1] + weight_LH[-1]
        return y_BCH.transpose(1, 2).to(past_BLC)
