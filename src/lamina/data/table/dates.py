"""A column of dates as features: year, month, day, weekday and hour, each standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.tabular.dates import PARTS, dates_in
from lamina.data.tabular.reading import Place

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Date:
    """The parts of a date that vary in the training data: (value - mean) / std; missing dates have median parts."""

    name: str
    order: str
    """of day and month: "day first" or "month first" """
    parts: tuple[str, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    @classmethod
    def fit(cls, series: pd.Series[Any], order: str) -> Date | None:
        """The parts that vary; None if none does."""
        found = dates_in(series, _nowhere, order, ())
        present = found[~np.isnan(found[:, 0])]
        if not len(present):
            return None
        medians = np.median(present, axis=0)
        found = np.where(np.isnan(found), medians, found)
        varying = [k for k in range(len(PARTS)) if found[:, k].min() < found[:, k].max()]
        if not varying:
            return None
        columns = found[:, varying]
        return cls(
            name=str(series.name),
            order=order,
            parts=tuple(PARTS[k] for k in varying),
            medians=tuple(medians[varying].tolist()),
            means=tuple(columns.mean(0).tolist()),
            stds=tuple(columns.std(0).tolist()),
        )

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name} {part}" for part in self.parts]

    def features(self, series: pd.Series[Any], place: Place, missing: tuple[str, ...]) -> Array:
        """(N, number of parts). Raises DataError for what is no date."""
        found = dates_in(series, place, self.order, missing)[:, [PARTS.index(part) for part in self.parts]]
        return (np.where(np.isnan(found), self.medians, found) - self.means) / self.stds

    def undo(self, values: Array) -> dict[str, float]:
        """The parts in their own units, by name of feature."""
        units = (values * self.stds + self.means).tolist()
        return dict(zip(self.feature_names, units, strict=True))


def _nowhere(row: int) -> str:
    return f"row {row + 1}"
