"""Forecasting: the steps after a window, as points, quantiles or a distribution.

Legend: B batch, L context, H horizon, C channels (targets), Q quantiles, K parameters of a distribution, I intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.data.spec import DataSpec
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.tasks.base import LOWER_IS_BETTER, Batch, Engine, Task
from lamina.tasks.forecasting.conformal import RESIDUALS, fitted_quantiles, radius
from lamina.tasks.forecasting.metrics import ForecastErrors, levels_of, pinball, seasonal_naive
from lamina.tasks.forecasting.options import (
    ForecastOptions,
    HuberForecastOptions,
    PinballOptions,
)
from lamina.tasks.kind import Objective, TaskKind, TaskSetup
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS

Cost = Callable[[Tensor, Tensor], Tensor]


class Forecasting(Task):
    """The task of forecasting H steps of C targets. Models return (B, H, C), or (B, H, C, Q) of quantiles.

    ``cost`` is the loss of each value, of a forecast and a target; values that are missing do not count.

    Example: ``Forecasting(preprocess, cost=F.l1_loss, monitor="mae")``
    """

    name = "forecasting"
    constant = "the last season"
    lower_is_better = (*LOWER_IS_BETTER, "crps", "mase", "smape", "nll")

    def __init__(
        self, preprocess: Preprocess, cost: Callable[..., Tensor] = F.mse_loss, monitor: str = "mse", quantiles: int = 0
    ) -> None:
        self.preprocess: Any = preprocess
        self.call, self.cost, self.quantiles = preprocess.call, cost, quantiles
        self.monitor: tuple[str, Literal["min", "max"]] | None = (monitor, "min")
        self.options = ForecastOptions()
        self.fitted: Mapping[str, Tensor] = {}

    # ------------------------------------------------------------------ training

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's output."""
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs)
        return out

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        args, kwargs = self.call(batch)
        if getattr(model, "teacher_forced", False):
            kwargs = {**kwargs, "target_BHC": batch["target"]}
        y = model(*args, **kwargs)
        return self.cost_of(y, batch), {}

    def cost_of(self, y: Tensor, batch: Batch) -> Tensor:
        """The mean loss over the values that are observed."""
        target_BHC = batch["target"].to(y)
        if self.quantiles:
            each = pinball(target_BHC, y).mean(-1)
            return _mean(each, batch)
        if "observed" not in batch:
            return self.cost(y, target_BHC)
        return _mean(self.cost(y, target_BHC, reduction="none"), batch)

    # ------------------------------------------------------------------ evaluation

    def metrics(self) -> Any:
        return ForecastErrors(("mse", "mae", "crps") if self.quantiles else ("mse", "mae"))

    def point(self, y: Tensor) -> Tensor:
        """The forecast itself (B, H, C): the median of quantiles."""
        return y.sort(-1).values[..., y.shape[-1] // 2] if self.quantiles else y

    def unit(self, batch: Batch) -> Tensor | float:
        """What an error is divided by, so that it is in standard deviations."""
        return 1.0 if self.preprocess.standardised else batch["std"][:, None]

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        y = self.outputs(model, batch).float()
        target_BHC, unit = batch["target"].float(), self.unit(batch)
        error_BHC = (self.point(y) - target_BHC) / unit
        naive_BHC = seasonal_naive(batch["past"].float(), target_BHC.shape[1], self.season_within())
        naive_BHC = (naive_BHC - target_BHC) / unit
        seen_BHC = batch["observed"].to(error_BHC) if "observed" in batch else torch.ones_like(error_BHC)
        each = {
            "mse": error_BHC.square(),
            "mae": error_BHC.abs(),
            "baseline_mse": naive_BHC.square(),
            "baseline_mae": naive_BHC.abs(),
        }
        if self.quantiles:
            each["crps"] = 2 * pinball(target_BHC, y.sort(-1).values).mean(-1) / unit
        metrics.update({name: (value * seen_BHC).sum() for name, value in each.items()}, seen_BHC.sum())

    def season_within(self) -> int:
        """The season, where a window is long enough to have one; else 1."""
        season: int = self.preprocess.season
        return season if season <= self.preprocess.context else 1

    # ------------------------------------------------------------------ intervals

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Quantiles of the absolute residuals of validation windows, (99, H, C) in standard deviations; nothing for
        models that give quantiles themselves."""
        if self.quantiles:
            return {}
        residuals = []
        for batch in batches:
            error = ((self.point(self.outputs(model, batch)) - batch["target"]) / self.unit(batch)).abs()
            if "observed" in batch:
                error = error.masked_fill(~batch["observed"], torch.nan)
            residuals.append(error.float().cpu())
        return {RESIDUALS: fitted_quantiles(torch.cat(residuals))} if residuals else {}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use the quantiles of residuals."""
        self.fitted = fitted

    def predicted_with(self, options: Any) -> Task:
        """With intervals of other levels. Raises UsageError for levels that cannot be had."""
        task = copy(self)
        task.options = options
        task.expect_levels()
        return task

    def expect_levels(self) -> None:
        """Raise UsageError for a level that neither quantiles nor residuals reach."""
        if self.options.samples is not None:
            raise UsageError("samples are drawn from a distribution, but this model forecasts none")
        if self.quantiles:
            most = round(100 * (1 - 2 / (self.quantiles + 1)))
            for level in self.options.level:
                if level > most:
                    raise UsageError(f"the model forecasts quantiles for levels up to {most}, not {level}")
            return
        for level in self.options.level if RESIDUALS in self.fitted else ():
            radius(self.fitted[RESIDUALS], level)

    def intervals(self, y: Tensor, unit: Tensor | float) -> list[tuple[Tensor, Tensor]]:
        """Lower and upper ends (B, H, C) of each level, in the units of the model; none without validation data."""
        if self.quantiles:
            sorted_BHCQ, levels = y.sort(-1).values, levels_of(self.quantiles)
            ends = [(0.5 - level / 200, 0.5 + level / 200) for level in self.options.level]
            return [(_between(sorted_BHCQ, levels, low), _between(sorted_BHCQ, levels, high)) for low, high in ends]
        if RESIDUALS not in self.fitted:
            return []
        found = [radius(self.fitted[RESIDUALS], level).to(y) * unit for level in self.options.level]
        return [(y - one, y + one) for one in found]

    # ------------------------------------------------------------------ predictions

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"forecast": (B, H, C), "lower", "upper": (B, I, H, C)} in own units, for each level of the options; "stamp"
        and "name" of the batch."""
        y = self.outputs(model, batch).float()
        unit = self.unit(batch)
        found = {"forecast": self.own(self.point(y), batch)}
        ends = self.intervals(y, unit)
        if ends:
            found["lower"] = torch.stack([self.own(low, batch) for low, _ in ends], 1)
            found["upper"] = torch.stack([self.own(high, batch) for _, high in ends], 1)
        return {**found, **{name: batch[name] for name in ("stamp", "name") if name in batch}}

    def own(self, y_BHC: Tensor, batch: Batch) -> Tensor:
        """Forecasts in the targets' own units."""
        if not self.preprocess.standardised:
            return y_BHC
        std_BC, mean_BC = (batch[name].to(y_BHC)[:, None] for name in ("std", "mean"))
        return y_BHC * std_BC + mean_BC

    def format_rows(self, prediction: Mapping[str, Tensor], target: TargetCode) -> list[dict[str, Any]]:
        """A row for each step: series, time, a value for each target, and the ends of its intervals."""
        return self.preprocess.forecast_rows(  # type: ignore[no-any-return]
            prediction, self.options.level if "lower" in prediction else ()
        )


def _mean(each_BHC: Tensor, batch: Batch) -> Tensor:
    if "observed" not in batch:
        return each_BHC.mean()
    seen = batch["observed"].to(each_BHC)
    return (each_BHC * seen).sum() / seen.sum().clamp_min(1)


def _between(sorted_BHCQ: Tensor, levels: list[float], level: float) -> Tensor:
    """A quantile, linear between those that there are."""
    above = next((k for k, one in enumerate(levels) if one >= level - 1e-9), len(levels) - 1)
    if above == 0 or abs(levels[above] - level) < 1e-9:
        return sorted_BHCQ[..., above]
    share = (level - levels[above - 1]) / (levels[above] - levels[above - 1])
    return torch.lerp(sorted_BHCQ[..., above - 1], sorted_BHCQ[..., above], share)


def make(setup: TaskSetup) -> Task:
    """The forecasting task with the requested objective."""
    name, options = setup.objective.name, setup.objective.options
    costs: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss}
    if name == "huber":
        return Forecasting(setup.preprocess, partial(F.huber_loss, delta=options.delta))
    if name == "pinball":
        return Forecasting(setup.preprocess, monitor="crps", quantiles=options.quantiles)
    return Forecasting(setup.preprocess, costs[name], "mae" if name == "mae" else "mse")


def serves(spec: DataSpec) -> str | None:
    """Series."""
    if spec.kind == "series":
        return None
    return f"is {spec.kind} data (a table with a column of time is series: --time COLUMN)"


def model_options(objective: Objective, preprocess: Preprocess) -> dict[str, Any]:
    """The number of quantiles."""
    return {"quantiles": objective.options.quantiles} if objective.name == "pinball" else {}


KIND = TaskKind(
    name="forecasting",
    make=make,
    serves=serves,
    objectives={"mse": NoOptions, "mae": NoOptions, "huber": HuberForecastOptions, "pinball": PinballOptions},
    verbs=VERBS["forecasting"],
    needs_targets=False,
    automatic=True,
    model_options=model_options,
)
