"""A rolling origin whose model is trained anew on the way, on all rows before.

Legend: N windows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from lamina.data.protocols import Needs
from lamina.data.series.fitting import fit_series
from lamina.data.series.panel import Series
from lamina.data.source import Source
from lamina.data.streams import Place
from lamina.errors import UsageError
from lamina.runs.build import batch_options, make_model, task_of
from lamina.runs.series.backtest import MODEL, Backtest, backtest
from lamina.tasks.forecasting.options import BacktestOptions
from lamina.tasks.forecasting.scores import Truth
from lamina.training.engine import Engine
from lamina.training.launching import launched
from lamina.training.loop import fit


class Refitted:
    """A model trained on the rows before an origin, with what a backtest reads of a run."""

    def __init__(self, run: Any, source: Source, epochs: int) -> None:
        config, needs = run.config, Needs(options=run.config.options, model=run.model.config)
        self.config = config
        self.preprocess = replace(fit_series(source, needs), parts=run.preprocess.parts)  # the inputs are the run's
        recipe = replace(config.recipe, epochs=epochs, steps=None, images=None, checkpoint_every=None, patience=None)
        self.task: Any = task_of(run.kind, self.preprocess, recipe, run.objective)
        self.model = make_model(config, self.preprocess, run.kind, run.objective)
        fabric = launched(replace(recipe, devices=1, num_nodes=1))
        engine = Engine(fabric, self.task, {"model": self.model}, recipe)
        settings = batch_options(recipe, self.task, self.model, Place(fabric.device))
        samples = self.preprocess.encode(source.splits["train"]).to(fabric.device)
        for _ in fit(engine, {"train": self.preprocess.training_stream(samples, settings)}):
            pass
        self.model = self.model.cpu().eval()
        self.task.load_finalized(run.fitted)


def refitted(run: Any, split: str, options: BacktestOptions) -> Backtest:
    """As ``backtest`` of the run, each ``options.refit`` rows by a model that was trained on all rows before them, for
    as many epochs as the run's best weights had. Scaler and categories are fitted anew, too; errors are in standard
    deviations of the run's training.

    Raises UsageError for a module of the user's own, which cannot be built anew.
    """
    if "variant" not in run.card:
        raise UsageError("refit (--refit) builds the model anew: a module of your own cannot be")
    source: Source = run.source
    part = cast(Series, source.splits[split])
    length = int((part.high_P - part.low_P).max())
    levels = tuple(level for level in options.level if run.task.reaches(level))
    epochs = next((int(row["epoch"]) for row in reversed(run.history) if row.get("best")), len(run.history))
    blocks: list[Backtest] = []
    for start in range(0, length, cast(int, options.refit)):
        low_P = np.minimum(part.low_P + start, part.high_P)
        high_P = np.minimum(low_P + cast(int, options.refit) + run.preprocess.horizon - 1, part.high_P)
        block = replace(part, low_P=low_P, high_P=high_P)
        before = replace(part, low_P=_first(source, part), high_P=low_P)
        if not len(run.preprocess.encode(block)):
            continue
        own = Source(source.spec, {"train": before})
        model = Refitted(run, own, max(1, epochs))
        found = backtest(model, block, before, options.stride, levels, None)
        blocks.append(_in_units(found, run.preprocess.units(part.panel)))
    return _joined(blocks)


def _first(source: Source, part: Series) -> Any:
    """Where training began in each part."""
    train = cast(Series, source.splits["train"])
    return np.where(train.high_P > train.low_P, train.low_P, part.low_P)


def _in_units(found: Backtest, units: tuple[Tensor, Tensor, Tensor]) -> Backtest:
    """A backtest in the standard deviations of other units (mean, std, scale) by series."""
    truth = found.truth
    mean, std, scale = (one[truth.series_N] for one in units)

    def moved(value: Tensor) -> Tensor:
        own = value * truth.std_NC[:, None] + truth.mean_NC[:, None]
        return (own - mean[:, None]) / std[:, None]

    there = replace(truth, target_NHC=moved(truth.target_NHC), std_NC=std, mean_NC=mean, scale_NC=scale)
    quantiles = found.quantiles_NHCQ
    if quantiles is not None:
        quantiles = torch.stack([moved(quantiles[..., q]) for q in range(quantiles.shape[-1])], -1)
    intervals = {level: (moved(low), moved(high)) for level, (low, high) in found.intervals.items()}
    return Backtest(there, {name: moved(y) for name, y in found.methods.items()}, quantiles, intervals)


def _joined(blocks: list[Backtest]) -> Backtest:
    truth = Truth(*(torch.cat([getattr(b.truth, name) for b in blocks]) for name in Truth.__dataclass_fields__))
    names = [name for name in blocks[0].methods if all(name in b.methods for b in blocks)]
    methods = {name: torch.cat([b.methods[name] for b in blocks]) for name in names}
    assert MODEL in methods
    every = [b.quantiles_NHCQ for b in blocks]
    quantiles = torch.cat(cast(list[Tensor], every)) if all(one is not None for one in every) else None
    intervals = {
        level: tuple(torch.cat([b.intervals[level][side] for b in blocks]) for side in range(2))
        for level in blocks[0].intervals
    }
    return Backtest(truth, methods, quantiles, cast(Any, intervals))
