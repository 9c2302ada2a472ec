"""A metric of several means by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Means(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Means over samples of values by name, added up in double precision, independent of the batches.

    Example: ``Means("loss", "kl").update(loss=loss_B, kl=kl_B)``
    """

    full_state_update = False
    sums: Tensor
    count: Tensor

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.add_state("sums", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, **values: Tensor) -> None:
        """Add a batch: for every name the value of each sample, (B,)."""
        self.sums += torch.stack([values[name].detach().double().sum() for name in self.names])
        self.count += len(values[self.names[0]])

    def compute(self) -> dict[str, Any]:
        return dict(zip(self.names, self.sums / self.count, strict=True))

    def keys(self) -> tuple[str, ...]:
        """The names of the metrics, as those of a MetricCollection."""
        return self.names
