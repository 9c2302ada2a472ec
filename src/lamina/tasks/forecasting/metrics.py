"""Errors of forecasts over a split, and those of the naive forecast beside them.

Legend: B batch, L context, H horizon, C channels, Q quantiles, m rows of a season.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from lamina.tasks.facts import BEATS, PREFIX


def seasonal_naive(past_BLC: Tensor, horizon: int, season: int) -> Tensor:
    """y_(T+h) = y_(T+h-m ceil(h/m)), (B, H, C): the last season again; with a season of 1 the last value.

    >>> seasonal_naive(torch.tensor([[[1.0], [2.0], [3.0]]]), horizon=3, season=2).flatten()
    tensor([2., 3., 2.])
    """
    steps = torch.arange(horizon, device=past_BLC.device)
    return past_BLC[:, past_BLC.shape[1] - season + steps % season]


def levels_of(count: int) -> list[float]:
    """Equally spaced quantile levels: 19 are 0.05, 0.1, ..., 0.95."""
    return [(k + 1) / (count + 1) for k in range(count)]


def pinball(target: Tensor, y_Q: Tensor) -> Tensor:
    """The loss max(q e, (q - 1) e) of each quantile, e = target - y: (...) and (..., Q) -> (..., Q)."""
    level_Q = torch.tensor(levels_of(y_Q.shape[-1]), dtype=y_Q.dtype, device=y_Q.device)
    error = target[..., None] - y_Q
    return torch.maximum(level_Q * error, (level_Q - 1) * error)


class ForecastErrors(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Mean squared and absolute error in standard deviations of training, CRPS of quantiles, mean loss of others; and
    of the seasonal naive forecast. ``update`` takes sums and the number of values.

    Example: ``ForecastErrors(("mse", "mae")).compute()``
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = (*names, *(PREFIX + name for name in ("mse", "mae")))
        self.add_state("sums", torch.zeros(len(self.names) + 1, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, sums: dict[str, Tensor], count: Tensor) -> None:
        """Sums of errors by name, over ``count`` values."""
        row = torch.stack([*(sums[name].double() for name in self.names), count.double()])
        self.sums += row.to(self.sums)

    def compute(self) -> dict[str, Tensor]:
        *sums, count = self.sums.cpu()
        if not count:
            return {}
        found = {name: value / count for name, value in zip(self.names, sums, strict=True)}
        found[BEATS] = (found["mae"] < found[PREFIX + "mae"]).double()
        return found

    def keys(self) -> tuple[str, ...]:
        """The names of the metrics, before they are computed."""
        return (*self.names, BEATS)
