"""Windows of series for anomalies: of a forecaster one step ahead, of an autoencoder as rows of numbers to restore.

Legend: B batch, L context, C targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from lamina.data.protocols import Input, Needs, Signature
from lamina.data.series.fitting import fit_series
from lamina.data.series.preprocess import SeriesPreprocess
from lamina.data.series.windows import PAST, Windows
from lamina.data.source import Source, Split
from lamina.data.streams import Batch
from lamina.errors import UsageError

ANOMALY = "anomaly"
WINDOW = "window"


@dataclass(frozen=True)
class WholeWindows(Windows):
    """Windows that end in the row that is judged."""

    def take(self, index: Tensor | slice) -> Batch:
        """As of a forecaster, and "window" (B, L C): the last L rows, the one that is judged among them."""
        batch = super().take(index)
        whole_BLC = torch.cat([batch[PAST], batch["target"]], 1)[:, -self.context :]
        return {**batch, WINDOW: whole_BLC.flatten(1)}


@dataclass(frozen=True, kw_only=True)
class RestoringPreprocess(SeriesPreprocess):
    """Standardised windows as rows of L C numbers, step after step, for models that restore their input."""

    def model_options(self) -> dict[str, int]:
        return {"in_features": self.context * self.channels, "steps": self.context}

    def signature(self) -> Signature:
        return (Input(WINDOW, "float32", (self.context * self.channels,)),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The whole window."""
        return (batch[WINDOW],), {}

    def encode(self, split: Split, hold: bool = True) -> Windows:
        """The windows of a split, all in one tensor."""
        found = super().encode(split, hold)
        return WholeWindows(**{field.name: getattr(found, field.name) for field in fields(found)})

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "restores": True}


def fit_anomaly(source: Source, needs: Needs) -> SeriesPreprocess:
    """The preprocess of anomalies: of one step ahead, unless a horizon is given; for a model without a horizon of
    windows to restore. Raises UsageError without a context, and for a horizon of a model that restores."""
    given = needs.options.horizon
    forecasts = needs.model is None or hasattr(needs.model, "horizon")
    if not forecasts and given is not None:
        raise UsageError("the model restores windows: it has no horizon (--horizon)")
    calendar = needs.options.calendar if forecasts else False
    found = fit_series(source, replace(needs, options=replace(needs.options, horizon=given or 1, calendar=calendar)))
    return found if forecasts else of_plain(replace(found, known=(), past=(), parts=()))


def of_plain(found: SeriesPreprocess) -> RestoringPreprocess:
    return RestoringPreprocess(
        **{field.name: getattr(found, field.name) for field in fields(found) if field.init and field.name[0] != "_"}
    )


def load_anomaly(data: Mapping[str, Any]) -> SeriesPreprocess:
    """What ``to_dict`` wrote."""
    found = SeriesPreprocess.from_dict(data)
    return of_plain(found) if cast(Any, data).get("restores") else found
