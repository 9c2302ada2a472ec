"""Several labels at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.tasks.base import Batch, Call, Engine, OneOutput, Task
from lamina.tasks.classification import IMAGE, balanced_weights
from lamina.tasks.kind import TaskKind, TaskSetup, serves_targets
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS


class Multilabel(OneOutput):
    """Binary cross-entropy for each of K labels. "target" (B, K) float, zeros and ones; models give logits (B, K)."""

    name = "multilabel"
    monitor = ("mean_average_precision", "max")
    prediction_key = "probabilities"
    mixes = True

    def __init__(
        self,
        classes: int,
        call: Call = IMAGE,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.classes, self.call = classes, call
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

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """ "labels", those more probable than not, and "probabilities" by label."""
        probabilities = dict(zip(target.labels, prediction["probabilities"].tolist(), strict=True))
        labels = [name for name, probability in probabilities.items() if probability > 0.5]
        return {"labels": labels, "probabilities": probabilities}

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the probabilities, as logits again."""
        return torch.stack([logits_BK.sigmoid() for logits_BK in outputs]).mean(0).logit(eps=1e-7)


def make(setup: TaskSetup) -> Task:
    return Multilabel(
        setup.preprocess.target.outputs,
        setup.preprocess.call,
        label_smoothing=setup.recipe.label_smoothing,
        class_weights=balanced_weights(setup),
    )


KIND = TaskKind(
    name="multilabel",
    make=make,
    serves=serves_targets("multilabel"),
    objectives={"binary-cross-entropy": NoOptions},
    verbs=VERBS["multilabel"],
    weighs_classes=True,
)
