"""One or several numbers for each input."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lamina.tasks.base import Batch, Engine, OneInput


class Regression(OneInput):
    """Mean squared error on standardised targets; metrics and predictions in the targets' own units.

    "target" is (B, K) float, standardised; ``mean`` and ``std`` (K,) undo it. Models give (B, K).
    """

    name = "regression"
    monitor = ("rmse", "min")

    def __init__(self, mean: Tensor, std: Tensor, input_key: str = "features") -> None:
        self.mean, self.std, self.input_key = mean.float(), std.float(), input_key

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        y_BK = self.outputs(model, batch)
        return F.mse_loss(y_BK, batch["target"].to(y_BK)), {}

    def metrics(self) -> Any:
        from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

        found = {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "r2": R2Score()}
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        said_BK = self.restore(self.outputs(model, batch))
        truth_BK = self.restore(batch["target"])
        metrics.update(said_BK, truth_BK)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"values": (B, K)} in the targets' own units."""
        return {"values": self.restore(self.outputs(model, batch))}

    def restore(self, standardised_BK: Tensor) -> Tensor:
        """Back to the targets' own units."""
        return standardised_BK.float() * self.std.to(standardised_BK.device) + self.mean.to(standardised_BK.device)
