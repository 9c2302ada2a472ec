"""Windows of series: places in one tensor, from which batches are cut; nothing is copied before.

Legend: R rows, D values of a row, W windows, B batch, L context, H horizon, C targets, P and F covariates, S series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lamina.data.series.panel import Array, Series
from lamina.data.streams import Batch

PAST, PAST_COVARIATES, FUTURE_COVARIATES = "past", "past_covariates", "future_covariates"


def window_starts(split: Series, context: int, horizon: int) -> Array:
    """The first row (W,) of each window of a split: L rows that may lie before it, H rows within."""
    panel = split.panel
    found = []
    for start, low, high in zip(panel.borders[:-1], split.low_P, split.high_P, strict=True):
        first, last = max(int(start), int(low) - context), int(high) - context - horizon
        found.append(np.arange(first, max(first, last + 1)))
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Windows:
    """The windows of a split."""

    rows_RD: Tensor
    """float32: targets, inputs known ahead, inputs of the past; what is missing repeats the value before"""
    starts_W: Tensor
    """int64, the first row of each window"""
    context: int
    horizon: int
    channels: int
    known: int
    """F, inputs known ahead, which stand after the targets"""
    observed_RC: Tensor | None = None
    """which targets are no repetition; None: all"""
    series_R: Tensor | None = None
    """the series of each row; None: one, or not needed"""
    units: tuple[Tensor, Tensor, Tensor] | None = None
    """mean, standard deviation and scale of the seasonal naive error of each series, (S, C); None: not needed"""

    def __len__(self) -> int:
        return len(self.starts_W)

    def take(self, index: Tensor | slice) -> Batch:
        """The windows of an index tensor, or of a slice, as a batch."""
        L, H, C = self.context, self.horizon, self.channels
        start_B = self.starts_W[index]
        cut_BTD = self.rows_RD.unfold(0, L + H, 1)[start_B].transpose(1, 2)
        batch = {PAST: cut_BTD[:, :L, :C]}
        if cut_BTD.shape[2] > C:
            batch[PAST_COVARIATES] = cut_BTD[:, :L, C:]
            if self.known:
                batch[FUTURE_COVARIATES] = cut_BTD[:, L:, C : C + self.known]
        batch["target"] = cut_BTD[:, L:, :C]
        if self.observed_RC is not None:
            batch["observed"] = self.observed_RC.unfold(0, L + H, 1)[start_B].transpose(1, 2)[:, L:]
        if self.units is not None and self.series_R is not None:
            series_B = self.series_R[start_B]
            for name, of_SC in zip(("mean", "std", "scale"), self.units, strict=True):
                batch[name] = of_SC[series_B]
            batch["origin"], batch["series"] = start_B + L, series_B
        return batch

    @property
    def tensors(self) -> Batch:
        """All windows as one batch."""
        return self.take(slice(None))

    def batches(self, blocks: Sequence[Tensor], workers: int, device: torch.device) -> Iterator[Batch]:
        """The windows of each block of indices, in order."""
        home = self.rows_RD.device
        order = torch.cat(list(blocks)).to(home)
        for index in order.split_with_sizes([len(block) for block in blocks]):
            yield self.take(index)

    def bare(self) -> Windows:
        """Without what only metrics need."""
        return replace(self, units=None, series_R=None)

    def at(self, index: Tensor) -> Windows:
        """Some of the windows."""
        return replace(self, starts_W=self.starts_W[index.to(self.starts_W.device)])

    def to(self, device: torch.device) -> Windows:
        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        return replace(
            self,
            rows_RD=self.rows_RD.to(device),
            starts_W=self.starts_W.to(device),
            observed_RC=moved(self.observed_RC),
            series_R=moved(self.series_R),
            units=None if self.units is None else tuple(one.to(device) for one in self.units),  # type: ignore[arg-type]
        )
