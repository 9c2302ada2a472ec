"""Anomalies in series: a model of what is usual, and how far each row is from it.

A forecaster is judged by its error at the next row, an autoencoder by that of the window that ends there, both in
standard deviations of the channel in training. The row's score is the largest of its channels, which is to blame.
Labels never reach the loss, and the threshold is of training rows.

Legend: B batch, L context, H horizon, C channels, N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError
from lamina.tasks.anomaly.options import AlarmOptions
from lamina.tasks.anomaly.scoring import silenced, standardised, threshold
from lamina.tasks.base import Batch, Engine, Task
from lamina.tasks.kind import TaskKind, TaskSetup, serves_modalities
from lamina.tasks.means import Means
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS

SCORES, SERIES = "scores", "series"
"""the scores of held-out training rows in order, and the series of each; with "training_" before them, of the others"""

TRAINING = "training_"
SETTLED = 100
"""rows before, from which on a standardised score counts for the threshold: the deviation of fewer is a guess"""

ROUNDING = 1e-6


class Anomaly(Task):
    """The task of scoring rows. Models return a forecast (B, H, C), or the window (B, L C) that they were given.

    Example: ``Anomaly(preprocess, "mae")``
    """

    name = "anomaly"
    monitor: tuple[str, Literal["min", "max"]] | None = ("mse", "min")

    def __init__(self, preprocess: Preprocess, cost: Literal["mse", "mae"] = "mse") -> None:
        self.preprocess: Any = preprocess
        self.call, self.cost = preprocess.call, F.mse_loss if cost == "mse" else F.l1_loss
        self.options = AlarmOptions()
        self.fitted: Mapping[str, Tensor] = {}

    def errors(self, model: nn.Module, batch: Batch) -> Tensor:
        """Model minus truth, (B, steps, C): of the steps ahead, or of the rows of the window.

        Raises UsageError for a model of other outputs.
        """
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs)
        truth = batch["window"] if "window" in batch else batch["target"]
        if out.shape != truth.shape:
            raise UsageError(f"the model gives {tuple(out.shape)}, expected {tuple(truth.shape)}")
        error: Tensor = out - truth
        return error.reshape(len(error), -1, self.preprocess.channels)

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        error = self.errors(model, batch)
        return self.cost(error, torch.zeros_like(error)), {}

    def metrics(self) -> Any:
        """ "mse", of the forecast or the restored window, in squared standard deviations."""
        return Means("mse")

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        metrics.update(mse=self.errors(model, batch).float().square().flatten(1).mean(1))

    def channel_scores(self, model: nn.Module, batch: Batch) -> Tensor:
        """How far each channel is from what is usual, (B, C): of a forecast the first step's error, of a window the
        root of its mean square."""
        error = self.errors(model, batch).float()
        return error.square().mean(1).sqrt() if "window" in batch else error[:, 0].abs()

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The scores of validation rows, in order, with their series."""
        return self._scores(model, batches, "")

    def finalize_training(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The scores of the rows that were trained on, which are before the held-out ones of their series."""
        return self._scores(model, batches, TRAINING)

    def _scores(self, model: nn.Module, batches: Iterable[Batch], prefix: str) -> dict[str, Tensor]:
        scores, series = [], []
        for batch in batches:
            score_BC = self.channel_scores(model, batch)
            scores.append(score_BC.max(1).values.cpu())
            series.append(batch[SERIES].cpu() if SERIES in batch else torch.zeros(len(score_BC), dtype=torch.int64))
        return {prefix + SCORES: torch.cat(scores), prefix + SERIES: torch.cat(series)} if scores else {}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use the scores of validation rows for thresholds."""
        self.fitted = fitted

    def processed(self, score_N: Tensor) -> Tensor:
        """The scores of a series in order, as the options have them, before silence."""
        return standardised(score_N, self.options.standardise) if self.options.standardise else score_N.double()

    def threshold(self) -> float:
        """The score above which a row is an alarm. Raises UsageError without held-out training rows.

        Scores as they are: of the held-out rows. Scores in deviations of those before them have no scale, on which rows
        that were trained on would seem too good: of all training rows, each with the rows before it, as in prediction.
        """
        if SCORES not in self.fitted:
            raise UsageError("the run has no validation rows for a threshold: train with --validation above 0")
        score_N, series_N = self.fitted[SCORES], self.fitted[SERIES]
        if self.options.standardise and TRAINING + SCORES in self.fitted:
            score_N = torch.cat([self.fitted[TRAINING + SCORES], score_N])
            series_N = torch.cat([self.fitted[TRAINING + SERIES], series_N])
            first = min(self.options.standardise, SETTLED)
        else:
            first = 0
        own = [score_N[series_N == number] for number in torch.unique(series_N)]
        settled = [self.processed(one)[first:] for one in own]
        if not sum(map(len, settled)):
            settled = [self.processed(one) for one in own]
        return threshold(torch.cat(settled), self.options.false_alarms)

    def alarms(self, score_N: Tensor) -> Tensor:
        """Which rows of a series are alarms, of processed scores in order."""
        bound = self.threshold()  # a row of training itself: equal but for rounding is not above
        return silenced(score_N, self.options.silence) > bound + ROUNDING * abs(bound)

    def evaluated_with(self, options: Any) -> Task:
        """With other post-processing or another share of false alarms."""
        task = copy(self)
        task.options = options
        return task

    def predicted_with(self, options: Any) -> Task:
        """With other post-processing or another share of false alarms."""
        return self.evaluated_with(options)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"channels": (B, C)}, the score of each channel in the row that is judged."""
        return {"channels": self.channel_scores(model, batch)}


def make(setup: TaskSetup) -> Task:
    return Anomaly(setup.preprocess, "mae" if setup.objective.name == "mae" else "mse")


KIND = TaskKind(
    name="anomaly",
    make=make,
    serves=serves_modalities("series", advice="a table with a column of time is series: --time COLUMN"),
    objectives={"mse": NoOptions, "mae": NoOptions},
    verbs=VERBS["anomaly"],
    needs_targets=False,
    automatic=False,
)
