"""Single-label classification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.plugins import load
from lamina.tasks.base import Batch, Call, Engine, OneOutput, Task, one_tensor
from lamina.tasks.facts import ENTRY
from lamina.tasks.kind import TaskKind, TaskSetup, serves_targets
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS
from lamina.tasks.weighting import class_weights

IMAGE = one_tensor("image")


class Classification(OneOutput):
    """Cross-entropy over K classes. Batches hold the input and "target" (B,) int64; models return logits (B, K).

    In training "target" may be probabilities (B, K) of mixed images; accuracy then refers to the most probable class.

    Example: ``Classification(10, one_tensor("image"), label_smoothing=0.1)``
    """

    name = "classification"
    monitor = ("accuracy", "max")
    constant = "the most frequent class"
    balanced = False
    """whether classes are weighted in training, so that a better mean recall counts as better than a constant"""
    prediction_key = "probabilities"
    mixes = True
    has_logits = True

    def __init__(
        self,
        classes: int,
        call: Call = IMAGE,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.classes, self.call, self.calibrates, self.temperature = classes, call, False, 1.0
        self.label_smoothing, self.class_weights = label_smoothing, class_weights

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BK = self.outputs(model, batch)
        target_B = batch["target"]
        weights = self.class_weights
        if weights is not None:
            weights = self.class_weights = weights.to(logits_BK)
        loss = self.cost(logits_BK, target_B, weights, self.label_smoothing)
        right_B = target_B if target_B.ndim == 1 else target_B.argmax(1)
        right = logits_BK.detach().argmax(1) == right_B
        # in double, so that the parts of several processes add up to what one process finds
        return loss, {"accuracy": right.mean(dtype=torch.float32 if right.device.type == "mps" else torch.float64)}

    def cost(
        self, logits_BK: Tensor, target_B: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """The loss, a mean over the batch; in evaluation without weights and smoothing."""
        if weights is None or (target_B.ndim == 1 and not label_smoothing):
            return F.cross_entropy(logits_BK, target_B, weight=weights, label_smoothing=label_smoothing)
        return weighted_cross_entropy(logits_BK, target_B, weights, label_smoothing)

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        from lamina.tasks.baselines import AgainstMajority

        found = {
            "loss": MeanMetric(),
            "accuracy": MulticlassAccuracy(self.classes, average="micro"),
            "f1": MulticlassF1Score(self.classes, average="macro"),
        }
        if self.classes > 10:
            found["top5"] = MulticlassAccuracy(self.classes, average="micro", top_k=5)
        found[ENTRY] = AgainstMajority(self.classes, balanced=self.balanced)
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BK, target_B = self.outputs(model, batch).float(), batch["target"]
        for name, metric in metrics.items(keep_base=True):
            if name == "loss":
                metric.update(self.cost(logits_BK / self.temperature, target_B), weight=len(target_B))
            else:
                metric.update(logits_BK, target_B)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"probabilities": (B, K)}."""
        return {"probabilities": (self.outputs(model, batch).float() / self.temperature).softmax(1)}

    def answer(self, prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also "class" (B,), the index of the most probable one."""
        return {**prediction, "class": prediction["probabilities"].argmax(1)}

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """With ``recipe.calibrate`` the temperature of minimal cross-entropy (Guo et al. 2017, arXiv 1706.04599)."""
        if not self.calibrates:
            return {}
        rows = [(self.outputs(model, batch).double().cpu(), batch["target"].cpu()) for batch in batches]
        return {"temperature": best_temperature(*(torch.cat(part) for part in zip(*rows, strict=True)))}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        self.temperature = float(fitted["temperature"])

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """{"class", "probability", "probabilities": by class}."""
        probabilities = dict(zip(target.labels, prediction["probabilities"].tolist(), strict=True))
        best = max(probabilities, key=probabilities.__getitem__)
        return {"class": best, "probability": probabilities[best], "probabilities": probabilities}

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the probabilities, as logits."""
        mean_BK = torch.stack([logits_BK.softmax(1) for logits_BK in outputs]).mean(0)
        return mean_BK.clamp_min(torch.finfo(mean_BK.dtype).tiny).log()


def weighted_cross_entropy(logits_BK: Tensor, target: Tensor, weights_K: Tensor, label_smoothing: float) -> Tensor:
    """sum_i w[y_i] CE(smoothed y_i) / sum_i w[y_i]: each sample counts by the weight of its class, smoothed or not.

    ``F.cross_entropy`` weights the smoothed target by class instead, so that a rare class with a large weight attracts
    the smoothing of all others. Mixed targets (B, K) are shares of samples of each class.
    """
    share_BK = target if target.ndim == 2 else F.one_hot(target, logits_BK.shape[1])
    weight_BK = share_BK.to(logits_BK) * weights_K
    nats_BK = -logits_BK.log_softmax(1)
    smoothed_BK = nats_BK * (1 - label_smoothing) + nats_BK.mean(1, keepdim=True) * label_smoothing
    return (weight_BK * smoothed_BK).sum() / weight_BK.sum()


class FocalClassification(Classification):
    """Focal loss: -(1 - p)^gamma log p of the true class, a mean over the batch (Lin et al. 2017, arXiv 1708.02002,
    eq. 4, with class weights instead of alpha). ``gamma`` 0 is cross-entropy."""

    def __init__(
        self, classes: int, call: Call = IMAGE, *, class_weights: Tensor | None = None, gamma: float = 2.0
    ) -> None:
        super().__init__(classes, call, class_weights=class_weights)
        self.gamma = gamma

    def cost(
        self, logits_BK: Tensor, target_B: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        target_BK = target_B if target_B.ndim == 2 else F.one_hot(target_B, logits_BK.shape[1])
        log_BK = logits_BK.log_softmax(1)
        # expm1 keeps the digits of 1 - p for p near 1; kept above 0, where a power between 0 and 1 has no gradient
        rest_BK = -torch.expm1(log_BK).clamp_max(-torch.finfo(log_BK.dtype).tiny)
        share_BK = target_BK.to(log_BK) if weights is None else target_BK.to(log_BK) * weights
        cost = -(share_BK * rest_BK.pow(self.gamma) * log_BK).sum()
        return cost / share_BK.sum()


@dataclass(frozen=True, kw_only=True)
class FocalOptions:
    """Options of the objective "focal"."""

    gamma: float = 2.0
    """how strongly well-classified samples are down-weighted; 0: cross-entropy"""

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise UsageError(f"gamma must not be negative, got {self.gamma}")


@dataclass(frozen=True, kw_only=True)
class RBFOptions:
    """Options of the objective "rbf-map"."""

    j: float = 1.0
    """penalty of the rubbish class"""

    def __post_init__(self) -> None:
        if not self.j > 0:
            raise UsageError(f"j must be greater than 0, got {self.j}")


def balanced_weights(setup: TaskSetup) -> Tensor | None:
    """Class weights, if the recipe has ``class_weights``."""
    if not setup.recipe.class_weights:
        return None
    if setup.targets is None:
        return None  # a reopened run: class weights are for training only
    return class_weights(setup.targets, setup.preprocess.target.outputs)


def best_temperature(logits_NK: Tensor, target_N: Tensor) -> Tensor:
    """The T > 0 that minimises the cross-entropy of softmax(logits / T), by Newton's method on log T, limited to
    [1/100, 100]."""
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        for _ in range(100):
            loss = F.cross_entropy(logits_NK * (-log_t).exp(), target_N)
            (slope,) = torch.autograd.grad(loss, log_t, create_graph=True)
            (bend,) = torch.autograd.grad(slope, log_t)
            step = (slope / bend if bend > 0 else slope.sign() * 0.5).detach().clamp(-1, 1)
            log_t = (log_t.detach() - step).clamp(-math.log(100), math.log(100)).requires_grad_()
            if abs(float(step)) < 1e-10:
                break
    return log_t.detach().exp()


def expect_no_smoothing(setup: TaskSetup) -> None:
    """Raise UsageError for label smoothing, which only cross-entropy has."""
    if setup.recipe.label_smoothing:
        raise UsageError(f"label_smoothing is for cross-entropy, but the objective is '{setup.objective.name}'")


def make(setup: TaskSetup) -> Task:
    """The classification task with the requested objective."""
    outputs, call, weights = setup.preprocess.target.outputs, setup.preprocess.call, balanced_weights(setup)
    task: Classification
    if setup.objective.name == "cross-entropy":
        task = Classification(outputs, call, label_smoothing=setup.recipe.label_smoothing, class_weights=weights)
    else:
        expect_no_smoothing(setup)
        task = load(COSTS[setup.objective.name])(outputs, call, class_weights=weights, **vars(setup.objective.options))
    if setup.recipe.calibrate and not task.has_logits:
        raise UsageError(f"calibrate fits the temperature of logits, but '{setup.objective.name}' has no logits")
    task.calibrates, task.balanced = setup.recipe.calibrate, setup.recipe.class_weights
    return task


COSTS = {
    "focal": "lamina.tasks.classification:FocalClassification",
    "perceptron-rule": "lamina.tasks.perceptron:PerceptronRule",
    "rbf-map": "lamina.tasks.rbf:RBFMaximumAPosteriori",
}
"""classification tasks with another loss, by objective"""
KIND = TaskKind(
    name="classification",
    make=make,
    serves=serves_targets("classification"),
    objectives={
        "cross-entropy": NoOptions,
        "focal": FocalOptions,
        "perceptron-rule": NoOptions,
        "rbf-map": RBFOptions,
    },
    verbs=VERBS["classification"],
    weighs_classes=True,
    calibrates=True,
)
