"""Regression of one or several values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.spec import DataSpec
from lamina.data.targets.code import TargetCode
from lamina.data.targets.labels import is_number
from lamina.errors import UsageError
from lamina.tasks.base import Batch, Call, Engine, OneOutput, Task, one_tensor
from lamina.tasks.facts import ENTRY
from lamina.tasks.kind import TaskKind, TaskSetup, serves_targets
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS

FEATURES = one_tensor("features")


class Regression(OneOutput):
    """Regression of standardised targets, with mean squared error unless ``cost`` is given; metrics and predictions are
    in the targets' own units.

    "target" is (B, K) float, standardised by ``mean`` and ``std`` (K,). Models return (B, K).

    Example: ``Regression(torch.tensor([152.0]), torch.tensor([77.0]), cost=F.l1_loss)``
    """

    name = "regression"
    monitor: tuple[str, Literal["min", "max"]] | None = ("rmse", "min")
    constant = "the mean"
    prediction_key = "values"

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        call: Call = FEATURES,
        *,
        cost: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    ) -> None:
        self.mean, self.std, self.call, self.cost = mean.float(), std.float(), call, cost

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        y_BK = self.outputs(model, batch)
        return self.cost(y_BK, batch["target"].to(y_BK)), {}

    def metrics(self) -> Any:
        from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

        from lamina.tasks.baselines import AgainstMean

        found = {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "r2": R2Score()}
        found[ENTRY] = AgainstMean(self.mean, self.std, robust=self.cost is not F.mse_loss)
        return MetricCollection(found, compute_groups=False)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        predicted_BK = self.restore(self.outputs(model, batch))
        truth_BK = self.restore(batch["target"])
        metrics.update(predicted_BK, truth_BK)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"values": (B, K)} in the targets' own units."""
        return {"values": self.restore(self.outputs(model, batch))}

    def restore(self, standardised_BK: Tensor) -> Tensor:
        """Values in the targets' own units."""
        return standardised_BK.float() * self.std.to(standardised_BK.device) + self.mean.to(standardised_BK.device)

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """A value for each target."""
        return dict(zip(target.labels, prediction["values"].tolist(), strict=True))

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the outputs."""
        return torch.stack(list(outputs)).mean(0)


@dataclass(frozen=True, kw_only=True)
class HuberOptions:
    """Options of the objective "huber"."""

    delta: float = 1.0
    """error, in standard deviations of the target, above which the loss is linear instead of squared"""

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise UsageError(f"delta must be greater than 0, got {self.delta}")


def make(setup: TaskSetup) -> Task:
    """The regression task with the requested objective."""
    target = setup.preprocess.target
    costs: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": partial(F.huber_loss, **vars(setup.objective.options)),
    }
    task = Regression(
        torch.tensor(target.mean), torch.tensor(target.std), setup.preprocess.call, cost=costs[setup.objective.name]
    )
    if setup.objective.name == "mae":
        task.monitor = ("mae", "min")
    return task


def serves(spec: DataSpec) -> str | None:
    """Regression targets; for numeric classes the reason mentions ``--task regression``."""
    reason = serves_targets("regression")(spec)
    if reason is not None and spec.classes and all(map(is_number, spec.classes)):
        return f"{reason} (--task regression uses the class numbers as values)"
    return reason


KIND = TaskKind(
    name="regression",
    make=make,
    serves=serves,
    objectives={"mse": NoOptions, "mae": NoOptions, "huber": HuberOptions},
    verbs=VERBS["regression"],
)
