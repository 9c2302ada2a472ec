"""Classes in an order: an error counts by how many grades it is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.spec import DataSpec
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.tasks.base import Batch, Call, Engine, OneOutput, Task
from lamina.tasks.kind import TaskKind, TaskSetup
from lamina.tasks.verb_options import NoOptions


class Ordinal(OneOutput):
    """Batches hold "target" (B,) int64, the number of the grade; models give logits (B, K)."""

    name = "ordinal"
    monitor = ("off", "min")
    prediction_key = "probabilities"

    def __init__(self, call: Call, cost: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.call, self.cost = call, cost

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        return self.cost(self.outputs(model, batch), batch["target"]), {}

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection

        return MetricCollection({"loss": MeanMetric(), "off": MeanMetric()}, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BK, target_B = self.outputs(model, batch).float(), batch["target"]
        metrics["loss"].update(self.cost(logits_BK, target_B), weight=len(target_B))
        metrics["off"].update((logits_BK.argmax(1) - target_B).abs().float())

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"probabilities": self.outputs(model, batch).float().softmax(1)}

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        probabilities = dict(zip(target.labels, prediction["probabilities"].tolist(), strict=True))
        return {"grade": max(probabilities, key=probabilities.__getitem__), "probabilities": probabilities}


def earth_mover(logits_BK: Tensor, target_B: Tensor, power: float) -> Tensor:
    """The distance between the cumulative distributions (Hou et al. 2016, arXiv 1611.05916)."""
    true_BK = F.one_hot(target_B, logits_BK.shape[1])
    return (logits_BK.softmax(1).cumsum(1) - true_BK.cumsum(1)).abs().pow(power).sum(1).mean()


def insensitive(logits_BK: Tensor, target_B: Tensor, margin: float) -> Tensor:
    """How far the expected grade is off, as far as that is more than ``margin``."""
    grades_K = target_B.new_tensor(range(logits_BK.shape[1]))
    off_B = ((logits_BK.softmax(1) * grades_K).sum(1) - target_B).abs()
    return (off_B - margin).relu().mean()


@dataclass(frozen=True, kw_only=True)
class EarthMoverOptions:
    """Options of the objective "earth-mover"."""

    power: float = 2.0
    """how much more large differences count"""


@dataclass(frozen=True, kw_only=True)
class InsensitiveOptions:
    """Options of the objective "insensitive"."""

    margin: float = 0.1
    """grades that the expectation may be off for nothing"""

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise UsageError(f"margin must not be negative, got {self.margin}")


@dataclass(frozen=True, kw_only=True)
class TopOptions:
    """How grades are predicted."""

    top: int = 1
    """grades that are listed, the likeliest first"""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError(f"top must be at least 1, got {self.top}")


def serves(spec: DataSpec) -> str | None:
    return None if spec.task == "classification" else "has no classes to put in an order"


def make(setup: TaskSetup) -> Task:
    cost = {"earth-mover": earth_mover, "insensitive": insensitive}[setup.objective.name]
    return Ordinal(setup.preprocess.call, partial(cost, **vars(setup.objective.options)))


KIND = TaskKind(
    name="ordinal",
    make=make,
    serves=serves,
    objectives={"earth-mover": EarthMoverOptions, "insensitive": InsensitiveOptions},
    verbs={"evaluate": NoOptions, "predict": TopOptions},
)
