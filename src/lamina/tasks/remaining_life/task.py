"""Remaining life: how many rows a unit has left, from the rows up to now.

The target is capped (Heimes, PHM 2008): a unit that is far from its end shows nothing of it. Errors are of the true
life, and of the capped one beside it; the score of PHM08 makes being late cost more than being early.

Legend: B batch, I levels of intervals, G groups of predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from lamina.data.protocols import Preprocess
from lamina.data.spec import DataSpec
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.tasks.base import LOWER_IS_BETTER, Batch, Engine, Task
from lamina.tasks.facts import BEATS, PREFIX
from lamina.tasks.kind import Objective, TaskKind, TaskSetup, serves_modalities
from lamina.tasks.remaining_life.options import HuberLifeOptions, LifeOptions
from lamina.tasks.verbs import VERBS

GROUPS = 4
"""groups of validation windows by their prediction, each with intervals of its own: errors shrink towards the end"""
EDGES, RESIDUALS = "edges", "residuals"


class LifeErrors(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Root mean squared and mean absolute error of the true life, the former of the capped one, too; the score of
    PHM08, a sum over what is judged; the share predicted too late; the error of the mean life of training; coverage."""

    full_state_update = False
    predicted: list[Tensor]
    true: list[Tensor]
    inside: list[Tensor]

    def __init__(self, cap: float, constant: float, levels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.cap, self.constant, self.levels = cap, constant, levels
        for name in ("predicted", "true", "inside"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, predicted: Tensor, true: Tensor, inside: Tensor | None = None) -> None:
        """Predictions (B,), true lives (B,), and whether these lie in the interval of each level (B, I)."""
        self.predicted.append(predicted.double())
        self.true.append(true.double())
        if inside is not None:
            self.inside.append(inside.double())

    def compute(self) -> dict[str, Tensor]:
        predicted, true = torch.cat(list(self.predicted)), torch.cat(list(self.true))
        late = predicted - true
        rmse, naive = late.square().mean().sqrt(), (self.constant - true).square().mean().sqrt()
        values = {
            "rmse": rmse,
            "rmse_capped": (predicted - true.clamp(max=self.cap)).square().mean().sqrt(),
            "mae": late.abs().mean(),
            "phm_score": torch.where(late < 0, torch.expm1(-late / 13), torch.expm1(late / 10)).sum(),
            "late": (late > 0).double().mean(),
            PREFIX + "rmse": naive,
            BEATS: (rmse < naive).double(),
        }
        if self.inside:
            share_I = torch.cat(list(self.inside)).mean(0)
            values |= {f"coverage_{level}": share for level, share in zip(self.levels, share_I, strict=True)}
        return values


class RemainingLife(Task):
    """The task of predicting the life that is left. Models return (B, 1), in units of the cap.

    Example: ``RemainingLife(preprocess, LifeOptions(cap=130))``
    """

    name = "remaining-life"
    constant = "the mean life, capped, of training"
    monitor: tuple[str, Literal["min", "max"]] | None = ("rmse_capped", "min")
    lower_is_better = (*LOWER_IS_BETTER, "rmse_capped", "phm_score", "late")

    def __init__(
        self, preprocess: Preprocess, options: LifeOptions | None = None, cost: Callable[..., Tensor] = F.mse_loss
    ) -> None:
        self.options = options or LifeOptions()
        self.call, self.cost, self.preprocess = preprocess.call, cost, preprocess
        self.scale = self.options.cap if self.options.cap < float("inf") else 100.0
        self.fitted: Mapping[str, Tensor] = {}
        self.levels: tuple[int, ...] = ()

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's output (B,), in units of the cap. Raises UsageError for a model of other outputs."""
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs)
        if out.ndim != 2 or out.shape[1] != 1:
            raise UsageError(
                f"the model gives {tuple(out.shape)}, but remaining life is one number for a window, (B, 1)"
            )
        return out[:, 0]

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        true = batch["target"][:, 0].clamp(max=self.options.cap) / self.scale
        return self.cost(self.outputs(model, batch), true), {}

    def metrics(self) -> Any:
        constant: float = self.preprocess.mean_life(self.options.cap)  # type: ignore[attr-defined]  # a LifePreprocess
        return LifeErrors(self.options.cap, constant, self.levels if self.fitted else ())

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        predicted, true = self.life(model, batch), batch["target"][:, 0].float()
        inside = None
        if self.fitted and self.levels:
            low, high = self.interval(predicted)
            inside = (true[:, None] >= low) & (true[:, None] <= high)
        metrics.update(predicted, true, inside)

    def life(self, model: nn.Module, batch: Batch) -> Tensor:
        """The rows left (B,), from 0 on."""
        return (self.outputs(model, batch).float() * self.scale).clamp(min=0)

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Quantiles of the absolute error of validation windows, (G, 99), and the edges (G - 1,) of the groups of
        predictions that they are of. Life above the cap is taken for the cap."""
        found, errors = [], []
        for batch in batches:
            predicted = self.life(model, batch)
            found.append(predicted.cpu())
            errors.append((predicted - batch["target"][:, 0].clamp(max=self.options.cap)).abs().cpu())
        if not found:
            return {}
        predicted, error = torch.cat(found), torch.cat(errors)
        edges = torch.quantile(predicted.double(), torch.arange(1, GROUPS, dtype=torch.float64) / GROUPS).float()
        group = torch.bucketize(predicted, edges)
        rows = [_quantiles(error[group == number] if (group == number).any() else error) for number in range(GROUPS)]
        return {EDGES: edges, RESIDUALS: torch.stack(rows)}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use the quantiles of errors."""
        self.fitted = fitted

    def evaluated_with(self, options: Any) -> Task:
        """With the coverage of intervals of these levels."""
        task = copy(self)
        task.levels = options.level
        return task

    def predicted_with(self, options: Any) -> Task:
        """With intervals of these levels."""
        return self.evaluated_with(options)

    def interval(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (B, I) of each level. An upper end at the cap or above means: or more."""
        group_B = torch.bucketize(predicted, self.fitted[EDGES].to(predicted))
        levels = torch.tensor(self.levels, device=predicted.device) - 1
        radius_BI = self.fitted[RESIDUALS].to(predicted)[group_B][:, levels]
        low, high = (predicted[:, None] - radius_BI).clamp(min=0), predicted[:, None] + radius_BI
        return low, high.masked_fill(high >= self.options.cap, torch.inf)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"life": (B,), "lower", "upper": (B, I)} in rows, and the "name" of the batch."""
        life = self.life(model, batch)
        found = {"life": life}
        if self.fitted and self.levels:
            found["lower"], found["upper"] = self.interval(life)
        return {**found, **({"name": batch["name"]} if "name" in batch else {})}

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """A row for each unit: its name, the life left, the ends of its intervals (none above the cap: or more)."""
        row: dict[str, Any] = self.preprocess.named_unit(prediction)  # type: ignore[attr-defined]  # a LifePreprocess
        name = target.names[0]
        row[name] = float(prediction["life"])
        if "lower" in prediction:
            for place, level in enumerate(self.levels):
                low, high = float(prediction["lower"][place]), float(prediction["upper"][place])
                row[f"{name}_lower_{level}"] = low
                row[f"{name}_upper_{level}"] = high if high < float("inf") else None
        return row


def _quantiles(error: Tensor) -> Tensor:
    """The ceil((n + 1) level)-th smallest error of each level from 1 to 99 per cent; the largest where n is small."""
    ordered = error.sort().values
    levels = torch.arange(1, 100, dtype=torch.float64) / 100
    rank = torch.ceil((len(ordered) + 1) * levels - 1e-9).long() - 1
    return ordered[rank.clamp(0, len(ordered) - 1)].float()


def make(setup: TaskSetup) -> Task:
    options = setup.objective.options
    costs: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss}
    if setup.objective.name == "huber":
        scale = options.cap if options.cap < float("inf") else 100.0
        return RemainingLife(setup.preprocess, options, partial(F.huber_loss, delta=options.delta / scale))
    return RemainingLife(setup.preprocess, options, costs[setup.objective.name])


def serves(spec: DataSpec) -> str | None:
    """Series of units, read for it."""
    if serves_modalities("series")(spec) is None and spec.task == RemainingLife.name:
        return None
    return f"is {spec.task} data (units that run until they fail: --task remaining-life --series UNIT)"


def model_options(objective: Objective, preprocess: Preprocess) -> dict[str, Any]:
    """One number for a window, whose level counts."""
    return {"outputs": 1, "normalisation": "none"}


KIND = TaskKind(
    name="remaining-life",
    make=make,
    serves=serves,
    objectives={"mse": LifeOptions, "mae": LifeOptions, "huber": HuberLifeOptions},
    verbs=VERBS["remaining-life"],
    needs_targets=False,
    automatic=False,
    model_options=model_options,
)
