"""Inspection of a forecaster with one history: its forecast, and what of the past it depends on.

Legend: L context, H horizon, C channels, P inputs, W steps that are replaced together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from lamina.data.series.items import History, is_panel
from lamina.data.series.panel import Series
from lamina.data.series.preprocess import spelled
from lamina.data.streams import Batch
from lamina.errors import UsageError, unknown
from lamina.report.series.figures import Fan
from lamina.report.series.inspection import ForecasterPage
from lamina.report.wording import number
from lamina.runs.evaluation import like, predicting
from lamina.runs.series.plotting import history_fans

STRETCHES = 48
"""stretches that the past is divided into, at most"""


@dataclass(frozen=True)
class ForecasterInspection:
    """What is seen of one history."""

    forecast_HC: Tensor
    """in own units"""
    effect_LC: Tensor
    """mean |change| of the forecast of each target, in standard deviations, where a stretch of the past of all targets
    is replaced by its mean"""
    effect_P: Tensor
    """mean |change| where a whole input, targets first, is replaced by its mean"""
    maps: dict[str, Tensor]
    """matrices (H, L) of linear models"""


def occlusion(task: Any, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """The effect of each step of the past (L, C), and of each input as a whole (C + P,)."""
    past_BLC = batch["past"]
    base = task.point(task.outputs(model, batch))
    unit = task.unit(batch)

    def change(other: Batch) -> Tensor:
        found: Tensor = ((task.point(task.outputs(model, other)) - base) / unit).abs().mean((0, 1))
        return found

    length, channels = past_BLC.shape[1:]
    width = max(1, -(-length // STRETCHES))
    mean_B1C = past_BLC.mean(1, keepdim=True)
    effect_LC = torch.zeros(length, channels)
    for end in range(length, 0, -width):
        start = max(0, end - width)
        hidden = past_BLC.clone()
        hidden[:, start:end] = mean_B1C
        effect_LC[start:end] = change({**batch, "past": hidden}).cpu()
    effects = []
    for channel in range(channels):
        hidden = past_BLC.clone()
        hidden[:, :, channel] = mean_B1C[:, :, channel]
        effects.append(change({**batch, "past": hidden}).mean())
    for index in range(batch["past_covariates"].shape[2] if "past_covariates" in batch else 0):
        other = dict(batch)
        for name in ("past_covariates", "future_covariates"):
            if name in batch and index < batch[name].shape[2]:
                hidden = batch[name].clone()
                hidden[:, :, index] = batch["past_covariates"][:, :, index].mean(1, keepdim=True)
                other[name] = hidden
        effects.append(change(other).mean())
    return effect_LC, torch.stack(effects).cpu()


def last_window(preprocess: Any, history: History) -> Batch:
    """The window at the end of the first series of a history; where inputs must be known ahead and are not given, the
    one before, of whose future they are known."""
    ahead = [one.name for one in preprocess.known if one.name not in preprocess.roles.static]
    if ahead and history.known is None:
        panel = history.past if is_panel(history.past) else preprocess.panel(history)
        windows = preprocess.encode(Series(panel, panel.borders[:-1], panel.borders[1:]))
        own = torch.nonzero(windows.series_R[windows.starts_W] == 0)[-1:, 0]
        if len(own):
            batch: Batch = windows.take(own)
            stamp = torch.from_numpy(panel.stamps_R)[batch["origin"] - 1]
            return {**batch, "stamp": stamp, "name": torch.stack([spelled(panel.names[0])])}
    return {name: value[:1] for name, value in preprocess.encode_input(history).items()}


def _parts(task: Any, model: Any, batch: Batch) -> dict[str, Tensor]:
    """What the forecast is the sum of, (H, C) each in own units but for the mean that they have in common."""
    divide = getattr(model, "parts", None)
    if divide is None:
        return {}
    found = divide(*task.call(batch)[0])
    std_B1C = batch["std"][:, None] if task.preprocess.standardised else 1.0
    whole = {name: (task.point(part) * std_B1C)[0].float().cpu() for name, part in found.items()}
    first = next(iter(whole))
    if task.preprocess.standardised:
        whole[first] = whole[first] + batch["mean"][0].float().cpu()
    return whole


def _attention(task: Any, model: Any, batch: Batch) -> dict[str, Any]:
    """What each patch attends to in each layer, mean over channels and heads, (N, N)."""
    look = getattr(model, "attention_maps", None)
    if look is None:
        return {}
    return {
        f"layer {k}": part[0].mean((0, 1)).float().cpu().numpy() for k, part in enumerate(look(*task.call(batch)[0]))
    }


def _components(parts: dict[str, Tensor], names: Sequence[str], shown: Sequence[int]) -> dict[str, Sequence[Fan]]:
    """A figure for each part of the forecast of each target."""
    if len(parts) < 2:
        return {}
    nothing = np.full(1, np.nan)
    return {
        names[c]: [
            Fan(title=name, past_L=nothing, forecast_H=cast(Any, part[:, c].numpy())) for name, part in parts.items()
        ]
        for c in shown
    }


def inspect_history(run: Any, history: History, target: str | int | None) -> ForecasterPage:
    """``Run.inspect`` for forecasters, with its page: the first series of a history. Raises UsageError or DataError."""
    preprocess, task = run.preprocess, run.task
    names = preprocess.roles.targets
    if isinstance(target, str) and target not in names:
        raise unknown("target", target, names)
    if isinstance(target, int) and not 0 <= target < len(names):
        raise UsageError(f"target is {target}, but there are {len(names)}")
    batch = last_window(preprocess, history)
    with predicting(run.model):
        given = like(run.model, batch)
        effect_LC, effect_P = occlusion(task, run.model, given)
        out = task.predict(run.model, given)
        parts = _parts(task, run.model, given)
        attention = _attention(task, run.model, given)
    levels = task.options.level if "lower" in out else ()
    rows = preprocess.forecast_rows({name: value[0] for name, value in out.items()}, levels)
    matrices: dict[str, Tensor] = getattr(run.model, "maps", dict)()
    quantiles = max(1, task.quantiles)
    maps = {name: value[quantiles // 2 :: quantiles].float().cpu() for name, value in matrices.items()}
    seen = ForecasterInspection(out["forecast"][0].cpu(), effect_LC, effect_P, maps)
    chosen = None if target is None else names.index(target) if isinstance(target, str) else target
    fans = history_fans(preprocess, [history], rows, levels)[: len(names)]
    shown = range(len(names)) if chosen is None else [chosen]
    importance = {"All targets": effect_LC.mean(1)} if chosen is None else {}
    importance |= {names[c]: effect_LC[:, c] for c in shown if len(names) > 1 or chosen is not None}
    inputs = sorted(zip((*names, *preprocess.input_names), effect_P.tolist(), strict=True), key=lambda one: -one[1])
    return ForecasterPage(
        name=run.directory.name,
        model=run.config.name,
        image=Path(history.past).name if isinstance(history.past, str | Path) else "a history",
        seen=seen,
        fans=[fans[c] for c in shown],
        importance={name: cast(Any, value.numpy()) for name, value in importance.items()},
        inputs=inputs,
        components=_components(parts, names, shown),
        attention=attention,
        maps={name: cast(Any, value.numpy()) for name, value in maps.items()},
        predictions=[(name, number(float(out["forecast"][0, 0, names.index(name)]))) for name in names],
        facts={"model": run.config.name, "weights": f"the best of {run.path}", "data": run.config.data_name},
        target="" if chosen is None else names[chosen],
    )
