"""Multi-label classification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.tasks.base import Batch, Call, Engine, OneOutput, Task
from lamina.tasks.classification import IMAGE, balanced_weights
from lamina.tasks.facts import ENTRY
from lamina.tasks.kind import TaskKind, TaskSetup, serves_targets
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS


class Multilabel(OneOutput):
    """Binary cross-entropy for each of K labels. "target" (B, K) float, zeros and ones; models return logits (B, K).

    Example: ``Multilabel(5, one_tensor("features"))``
    """

    name = "multilabel"
    monitor = ("mean_average_precision", "max")
    constant = "the most frequent set of labels"
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
        self.classes, self.call, self.calibrates = classes, call, False
        self.thresholds_K = torch.full((classes,), 0.5)
        self.label_smoothing, self.class_weights = label_smoothing, class_weights

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BK = self.outputs(model, batch)
        target_BK = batch["target"].to(logits_BK)
        weights = self.class_weights
        if weights is not None:
            weights = self.class_weights = weights.to(logits_BK)
        loss = weighted_binary_cross_entropy(logits_BK, target_BK, weights, self.label_smoothing)
        right_BK = (logits_BK.detach() > 0) == (target_BK > 0.5)
        return loss, {"exact_match": right_BK.all(1).float().mean()}

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection
        from torchmetrics.classification import MultilabelAveragePrecision, MultilabelExactMatch, MultilabelF1Score

        from lamina.tasks.baselines import AgainstMajoritySet

        found = {
            "loss": MeanMetric(),
            "mean_average_precision": MultilabelAveragePrecision(self.classes, average="macro"),
            "f1": MultilabelF1Score(self.classes, average="macro"),
            "exact_match": MultilabelExactMatch(self.classes),
            ENTRY: AgainstMajoritySet(self.classes),
        }
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BK, target_BK = self.outputs(model, batch).float(), batch["target"]
        loss = F.binary_cross_entropy_with_logits(logits_BK, target_BK.float())
        probability_BK = logits_BK.sigmoid()
        predicted_BK = (probability_BK > self.thresholds_K.to(probability_BK.device)).long()
        for name, metric in metrics.items(keep_base=True):
            if name == "loss":
                metric.update(loss, weight=len(target_BK))
            else:
                scores_BK = probability_BK if name == "mean_average_precision" else predicted_BK
                metric.update(scores_BK, target_BK.long())

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"probabilities": (B, K)}, independent for each label."""
        return {"probabilities": self.outputs(model, batch).float().sigmoid()}

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """With ``recipe.calibrate`` the threshold of maximal F1 score for each label."""
        if not self.calibrates:
            return {}
        rows = [(self.outputs(model, batch).float().sigmoid().cpu(), batch["target"].cpu()) for batch in batches]
        probability_NK, target_NK = (torch.cat(part) for part in zip(*rows, strict=True))
        return {"thresholds": best_thresholds(probability_NK, target_NK)}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        self.thresholds_K = fitted["thresholds"].float()

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """{"labels": those above their threshold (0.5 unless fitted), "probabilities": by label}."""
        probabilities = dict(zip(target.labels, prediction["probabilities"].tolist(), strict=True))
        chosen = (prediction["probabilities"].cpu() > self.thresholds_K).tolist()
        labels = [name for name, above in zip(target.labels, chosen, strict=True) if above]
        return {"labels": labels, "probabilities": probabilities}

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the probabilities, as logits."""
        return torch.stack([logits_BK.sigmoid() for logits_BK in outputs]).mean(0).logit(eps=1e-7)


def weighted_binary_cross_entropy(
    logits_BK: Tensor, target_BK: Tensor, weights_K: Tensor | None, label_smoothing: float
) -> Tensor:
    """Mean over samples and labels; a label that is there counts ``weights_K`` times, smoothed or not.

    ``pos_weight`` of torch would weigh the smoothing of absent labels, too: with a weight of 100 the optimum of an
    absent label at smoothing 0.1 is a probability of 0.84.
    """
    if weights_K is None or not label_smoothing:
        smooth_BK = target_BK * (1 - label_smoothing) + 0.5 * label_smoothing
        return F.binary_cross_entropy_with_logits(logits_BK, smooth_BK, pos_weight=weights_K)
    present = F.binary_cross_entropy_with_logits(
        logits_BK, torch.full_like(logits_BK, 1 - 0.5 * label_smoothing), reduction="none"
    )
    absent = F.binary_cross_entropy_with_logits(
        logits_BK, torch.full_like(logits_BK, 0.5 * label_smoothing), reduction="none"
    )
    return (target_BK * weights_K * present + (1 - target_BK) * absent).mean()


def best_thresholds(probability_NK: Tensor, target_NK: Tensor) -> Tensor:
    """For each label the probability threshold of maximal F1 score, midway between two samples; 0.5 for a label without
    samples."""
    found = []
    for probability_N, target_N in zip(probability_NK.float().T, target_NK.double().T, strict=True):
        if not target_N.sum():
            found.append(torch.tensor(0.5))
            continue
        order = probability_N.argsort(descending=True)
        sorted_N, right_N = probability_N[order], target_N[order].cumsum(0)
        f1_N = 2 * right_N / (torch.arange(1, len(order) + 1) + target_N.sum())
        below_N = torch.cat([sorted_N[1:], sorted_N.new_zeros(1)])
        f1_N = torch.where(below_N < sorted_N, f1_N, -1.0)  # equal probabilities stay on one side
        best = int(f1_N.argmax())
        halfway = (sorted_N[best] + below_N[best]) / 2
        # of two neighbouring numbers half the way may be the upper one, which is to lie above
        found.append(torch.where(halfway < sorted_N[best], halfway, below_N[best]))
    return torch.stack(found)


def make(setup: TaskSetup) -> Task:
    task = Multilabel(
        setup.preprocess.target.outputs,
        setup.preprocess.call,
        label_smoothing=setup.recipe.label_smoothing,
        class_weights=balanced_weights(setup),
    )
    task.calibrates = setup.recipe.calibrate
    return task


KIND = TaskKind(
    name="multilabel",
    make=make,
    serves=serves_targets("multilabel"),
    objectives={"binary-cross-entropy": NoOptions},
    verbs=VERBS["multilabel"],
    weighs_classes=True,
    calibrates=True,
)
