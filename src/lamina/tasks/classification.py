"""One class of several, or several labels at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.tasks.base import Batch, Engine, OneInput


class Classification(OneInput):
    """Cross-entropy over K classes. Batches hold the input and "target" (B,) int64; models give logits (B, K).

    In training "target" may be probabilities (B, K), of images that are mixed; accuracy is then that of the likeliest
    class.
    """

    name = "classification"
    monitor = ("accuracy", "max")

    def __init__(
        self,
        classes: int,
        input_key: str = "image",
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.classes, self.input_key = classes, input_key
        self.label_smoothing, self.class_weights = label_smoothing, class_weights

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BK = self.outputs(model, batch)
        target_B = batch["target"]
        weights = self.class_weights
        if weights is not None:
            weights = self.class_weights = weights.to(logits_BK)
        loss = self.cost(logits_BK, target_B, weights, self.label_smoothing)
        right_B = target_B if target_B.ndim == 1 else target_B.argmax(1)
        return loss, {"accuracy": (logits_BK.detach().argmax(1) == right_B).float().mean()}

    def cost(
        self, logits_BK: Tensor, target_B: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """What is minimised, a mean over the batch; evaluation asks for it without weights and smoothing."""
        if target_B.ndim == 2 and weights is not None:
            # torch divides by the weights of the classes that targets name, but for probabilities by the batch
            total = F.cross_entropy(
                logits_BK, target_B, weight=weights, label_smoothing=label_smoothing, reduction="sum"
            )
            return total / (target_B @ weights).sum()
        return F.cross_entropy(logits_BK, target_B, weight=weights, label_smoothing=label_smoothing)

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        found = {
            "loss": MeanMetric(),
            "accuracy": MulticlassAccuracy(self.classes, average="micro"),
            "f1": MulticlassF1Score(self.classes, average="macro"),
        }
        if self.classes > 10:
            found["top5"] = MulticlassAccuracy(self.classes, average="micro", top_k=5)
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BK, target_B = self.outputs(model, batch).float(), batch["target"]
        for name, metric in metrics.items(keep_base=True):
            if name == "loss":
                metric.update(self.cost(logits_BK, target_B), weight=len(target_B))
            else:
                metric.update(logits_BK, target_B)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"probabilities": (B, K)}."""
        return {"probabilities": self.outputs(model, batch).float().softmax(1)}


class Multilabel(OneInput):
    """Binary cross-entropy for each of K labels. "target" (B, K) float, zeros and ones; models give logits (B, K)."""

    name = "multilabel"
    monitor = ("mean_average_precision", "max")

    def __init__(
        self,
        classes: int,
        input_key: str = "image",
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.classes, self.input_key = classes, input_key
        self.label_smoothing, self.class_weights = label_smoothing, class_weights

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BK = self.outputs(model, batch)
        target_BK = batch["target"].to(logits_BK)
        smooth_BK = target_BK * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        weights = self.class_weights
        if weights is not None:
            weights = self.class_weights = weights.to(logits_BK)
        loss = F.binary_cross_entropy_with_logits(logits_BK, smooth_BK, pos_weight=weights)
        right_BK = (logits_BK.detach() > 0) == (target_BK > 0.5)
        return loss, {"exact_match": right_BK.all(1).float().mean()}

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection
        from torchmetrics.classification import MultilabelAveragePrecision, MultilabelExactMatch, MultilabelF1Score

        found = {
            "loss": MeanMetric(),
            "mean_average_precision": MultilabelAveragePrecision(self.classes, average="macro"),
            "f1": MultilabelF1Score(self.classes, average="macro"),
            "exact_match": MultilabelExactMatch(self.classes),
        }
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BK, target_BK = self.outputs(model, batch).float(), batch["target"]
        loss = F.binary_cross_entropy_with_logits(logits_BK, target_BK.float())
        for name, metric in metrics.items(keep_base=True):
            if name == "loss":
                metric.update(loss, weight=len(target_BK))
            else:
                metric.update(logits_BK.sigmoid(), target_BK.long())

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"probabilities": (B, K)}, each label's own."""
        return {"probabilities": self.outputs(model, batch).float().sigmoid()}


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Weights that make every class count alike.

    ``targets`` (N,) of class indices: N / (K n_k), as scikit-learn's "balanced"; (N, K) of zeros and ones: negatives
    over positives for each label. A class without samples gets weight 1.
    """
    if targets.ndim == 2:
        positive = targets.sum(0)
        return torch.where(positive > 0, (len(targets) - positive) / positive.clamp(min=1), torch.ones(()))
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), torch.ones(()))
