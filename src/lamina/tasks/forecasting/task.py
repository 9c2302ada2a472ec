"""Forecasting: the steps after a window, as points, quantiles or a distribution.

Legend: B batch, L context, H horizon, C channels (targets), Q quantiles, K parameters of a distribution, I intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.layers.series.distributions import DISTRIBUTIONS, Distribution
from lamina.tasks.base import LOWER_IS_BETTER, Batch, Engine, Task
from lamina.tasks.forecasting.conformal import RESIDUALS, fitted_quantiles, radius
from lamina.tasks.forecasting.metrics import ForecastErrors, levels_of, pinball, seasonal_naive
from lamina.tasks.forecasting.options import (
    ForecastOptions,
    HuberForecastOptions,
    LikelihoodOptions,
    PinballOptions,
)
from lamina.tasks.kind import Objective, TaskKind, TaskSetup, serves_modalities
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS

LEAST_SKILL = 0.05
"""share of the error of the best forecast beside it by which a model has to be better, in MAE or MSE"""
USUAL_SAMPLES = 100
"""sample paths from which the intervals of a distribution are taken"""


class Forecasting(Task):
    """The task of forecasting H steps of C targets. Models return (B, H, C), or (B, H, C, Q) of quantiles.

    ``cost`` is the loss of each value, of a forecast and a target; values that are missing do not count.

    Example: ``Forecasting(preprocess, cost=F.l1_loss, monitor="mae")``
    """

    name = "forecasting"
    constant = "the last season"
    lower_is_better = (*LOWER_IS_BETTER, "crps", "mase", "smape", "nll")

    def __init__(
        self,
        preprocess: Preprocess,
        cost: Callable[..., Tensor] = F.mse_loss,
        monitor: str = "mse",
        quantiles: int = 0,
        distribution: Distribution | None = None,
    ) -> None:
        self.preprocess: Any = preprocess
        self.call, self.cost, self.quantiles = preprocess.call, cost, quantiles
        self.distribution = distribution
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

    def forced(self, model: nn.Module, batch: Batch) -> Tensor:
        """The parameters of each step, given the targets before it."""
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs, target_BHC=batch["target"])
        return out

    def cost_of(self, y: Tensor, batch: Batch) -> Tensor:
        """The mean loss over the values that are observed."""
        target_BHC = batch["target"].to(y)
        if self.distribution is not None:
            return _mean(-self.distribution.log_prob(y, target_BHC), batch)
        if self.quantiles:
            each = pinball(target_BHC, y).mean(-1)
            return _mean(each, batch)
        if "observed" not in batch:
            return self.cost(y, target_BHC)
        return _mean(self.cost(y, target_BHC, reduction="none"), batch)

    # ------------------------------------------------------------------ evaluation

    def metrics(self) -> Any:
        return ForecastErrors(
            ("mse", "mae", *(("crps",) if self.quantiles else ()), *(("nll",) if self.distribution else ()))
        )

    def point(self, y: Tensor) -> Tensor:
        """The forecast itself (B, H, C): the median of quantiles, the mean of a distribution."""
        if self.distribution is not None:
            return self.distribution.mean(y)
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
        if self.distribution is not None:
            each["nll"] = -self.distribution.log_prob(self.forced(model, batch).float(), target_BHC)
        metrics.update({name: (value * seen_BHC).sum() for name, value in each.items()}, seen_BHC.sum())

    def shortfall(self, metrics: Mapping[str, float]) -> str | None:
        """What to tell of a model that is not clearly better than the forecasts beside it."""
        others = {name.removesuffix("_mae"): value for name, value in metrics.items() if name.endswith("_mae")}
        others = {name: value for name, value in others.items() if f"{name}_mse" in metrics and name != "baseline"}
        if not others:
            return super().shortfall(metrics)
        best = min(others, key=others.__getitem__)
        mae, mse = _share(metrics["mae"], others[best]), _share(metrics["mse"], metrics[f"{best}_mse"])
        if min(mae, mse) < 1 - LEAST_SKILL:
            return None
        against = f"{best.replace('_', ' ')}: MAE {metrics['mae']:.4g} against {others[best]:.4g}"
        against += f", MSE {metrics['mse']:.4g} against {metrics[f'{best}_mse']:.4g}"
        if min(mae, mse) >= 1:
            return f"is no better than {against}"
        return f"has no skill to speak of: within {LEAST_SKILL:.0%} of {against}"

    def season_within(self) -> int:
        """The season, where a window is long enough to have one; else 1."""
        season: int = self.preprocess.season
        return season if season <= self.preprocess.context else 1

    # ------------------------------------------------------------------ intervals

    @property
    def symmetric(self) -> bool:
        """Whether intervals come from residuals, and not from the model."""
        return not self.quantiles and self.distribution is None

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Quantiles of the absolute residuals of validation windows, (99, H, C) in standard deviations; nothing for
        models that give quantiles or a distribution themselves."""
        if not self.symmetric:
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

    def predicted_with(self, options: Any) -> Forecasting:
        """With intervals of other levels. Raises UsageError for levels that cannot be had."""
        task = copy(self)
        task.options = options
        if options.samples is not None and self.distribution is None:
            raise UsageError("samples are drawn from a distribution, but this model forecasts none (deepar does)")
        for level in options.level:
            task.expect_level(level)
        return task

    def reaches(self, level: int) -> bool:
        """Whether there are intervals of a level."""
        if self.symmetric:
            return RESIDUALS in self.fitted and not bool(torch.isinf(self.fitted[RESIDUALS][level - 1]).any())
        return self.distribution is not None or level <= round(100 * (1 - 2 / (self.quantiles + 1)))

    def expect_level(self, level: int) -> None:
        """Raise UsageError for a level that neither quantiles nor residuals reach; a run without validation data has
        no intervals at all, which is no error."""
        if not self.reaches(level):
            if self.quantiles:
                most = round(100 * (1 - 2 / (self.quantiles + 1)))
                raise UsageError(f"the model forecasts quantiles for levels up to {most}, not {level} (--level)")
            if RESIDUALS in self.fitted:
                radius(self.fitted[RESIDUALS], level)

    def ends(self, model: nn.Module, batch: Batch, y: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Lower and upper ends (B, H, C) of each level of the options, in the units of the model; none without
        validation data, and of a distribution without a model to draw from."""
        levels = self.options.level
        if not levels:
            return []
        if self.distribution is not None:
            paths = self.paths(model, batch)
            return [] if paths is None else between(paths, levels)
        y = self.outputs(model, batch).float() if y is None else y
        if self.quantiles:
            sorted_BHCQ, known = y.sort(-1).values, levels_of(self.quantiles)
            ends = [(0.5 - level / 200, 0.5 + level / 200) for level in levels]
            return [(_between(sorted_BHCQ, known, low), _between(sorted_BHCQ, known, high)) for low, high in ends]
        if RESIDUALS not in self.fitted:
            return []
        found = [radius(self.fitted[RESIDUALS], level).to(y) * self.unit(batch) for level in levels]
        return [(y - one, y + one) for one in found]

    def paths(self, model: nn.Module, batch: Batch) -> Tensor | None:
        """Sample paths (B, N, H, C) in the units of the model, not below 0 where training values are not; None of an
        exported file, which cannot draw."""
        draw = getattr(model, "sample", None)
        if draw is None:
            return None
        args, _ = self.call(batch)
        count = self.options.samples or USUAL_SAMPLES
        paths: Tensor = draw(*args, count=count, seed=self.options.seed).float()
        lowest_C = torch.tensor(self.preprocess.lowest, device=paths.device)
        return torch.where(lowest_C >= 0, paths.clamp_min(0.0), paths)

    # ------------------------------------------------------------------ predictions

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"forecast": (B, H, C), "lower", "upper": (B, I, H, C)} in own units, for each level of the options; "stamp"
        and "name" of the batch; "paths" (B, N, H, C) where ``samples`` asks for them."""
        y = self.outputs(model, batch).float()
        found = {"forecast": self.own(self.point(y), batch)}
        if ends := self.ends(model, batch, y):
            found["lower"] = torch.stack([self.own(low, batch) for low, _ in ends], 1)
            found["upper"] = torch.stack([self.own(high, batch) for _, high in ends], 1)
        if self.options.samples is not None and (paths := self.paths(model, batch)) is not None:
            found["paths"] = paths
        return {**found, **{name: batch[name] for name in ("stamp", "name") if name in batch}}

    def own(self, y_BHC: Tensor, batch: Batch) -> Tensor:
        """Forecasts in the targets' own units."""
        if not self.preprocess.standardised:
            return y_BHC
        std_BC, mean_BC = (batch[name].to(y_BHC)[:, None] for name in ("std", "mean"))
        return y_BHC * std_BC + mean_BC

    def format_rows(self, prediction: Mapping[str, Tensor], target: TargetCode) -> list[dict[str, Any]]:
        """A row for each step: series, time, a value for each target, and the ends of its intervals."""
        return self.preprocess.forecast_rows(  # type: ignore[no-any-return]  # a SeriesPreprocess
            prediction, self.options.level if "lower" in prediction else ()
        )


def _share(error: float, other: float) -> float:
    """An error over another, which is 0 where a series is constant."""
    return error / other if other else float("inf") if error else 1.0


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


def between(paths_BNHC: Tensor, levels: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    """The ends (B, H, C) of intervals of these levels in per cent, as quantiles of sample paths."""
    low, high = ([0.5 - level / 200 for level in levels], [0.5 + level / 200 for level in levels])
    found = torch.quantile(paths_BNHC, torch.tensor([*low, *high], device=paths_BNHC.device).to(paths_BNHC), dim=1)
    return list(zip(found[: len(levels)], found[len(levels) :], strict=True))


def make(setup: TaskSetup) -> Task:
    """The forecasting task with the requested objective."""
    name, options = setup.objective.name, setup.objective.options
    costs: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss}
    if name == "huber":
        return Forecasting(setup.preprocess, partial(F.huber_loss, delta=options.delta))
    if name == "pinball":
        return Forecasting(setup.preprocess, monitor="crps", quantiles=options.quantiles)
    if name == "likelihood":
        found = DISTRIBUTIONS[options.distribution]
        lowest = min(getattr(setup.preprocess, "lowest", (0.0,)))
        if found.counts and lowest < 0:
            raise UsageError(f"{options.distribution} is for counts, but the targets have negative values: {lowest:g}")
        return Forecasting(setup.preprocess, monitor="nll", distribution=found)
    return Forecasting(setup.preprocess, costs[name], "mae" if name == "mae" else "mse")


def model_options(objective: Objective, preprocess: Preprocess) -> dict[str, Any]:
    """The number of quantiles, or the distribution."""
    return {name: value for name, value in vars(objective.options).items() if name in ("quantiles", "distribution")}


KIND = TaskKind(
    name="forecasting",
    make=make,
    serves=serves_modalities("series", advice="a table with a column of time is series: --time COLUMN"),
    objectives={
        "mse": NoOptions,
        "mae": NoOptions,
        "huber": HuberForecastOptions,
        "pinball": PinballOptions,
        "likelihood": LikelihoodOptions,
    },
    verbs=VERBS["forecasting"],
    needs_targets=False,
    automatic=True,
    model_options=model_options,
)
