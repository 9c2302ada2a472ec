"""Inputs beside the targets: numbers standardised, categories one-hot, as fitted on training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.series.panel import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class InputColumn:
    """A column as inputs: (value - mean) / std, or a one for the category."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    """empty: a number"""

    @property
    def width(self) -> int:
        return len(self.categories) or 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={one}" for one in self.categories) or (self.name,)

    def values(self, column: pd.Series[Any]) -> Array:
        """(N, width) float32, NaN where the value is missing; an unseen category is all zeros."""
        if not self.categories:
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            return ((numbers - self.mean) / self.std).astype(np.float32)[:, None]
        texts = column.to_numpy(dtype=object)
        out = np.zeros((len(texts), len(self.categories)), np.float32)
        for k, category in enumerate(self.categories):
            out[:, k] = texts == category
        out[column.isna().to_numpy()] = np.nan
        return out

    @classmethod
    def fit(cls, column: pd.Series[Any]) -> InputColumn | None:
        """The input of a column of training rows; None where they hold one value."""
        present = column.dropna()
        if column.dtype == np.float64:
            values = present.to_numpy()
            if not len(values) or (values == values[0]).all():
                return None
            return cls(name=str(column.name), mean=float(values.mean()), std=float(values.std()))
        categories = tuple(sorted(set(present.tolist())))
        return cls(name=str(column.name), categories=categories) if len(categories) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InputColumn:
        return cls(**{**data, "categories": tuple(data["categories"])})


def filled_forward(values: Array, borders: Array) -> Array:
    """Values (R, D) with NaN replaced by the value before in the same part; 0 where there is none."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    at = np.where(missing, 0, np.arange(len(values))[:, None])
    for start, end in pairwise(borders.tolist()):
        at[start:end] = np.maximum.accumulate(np.where(missing[start:end], start, at[start:end]), axis=0)
    found = np.take_along_axis(values, at, axis=0)
    return np.where(np.isnan(found), 0.0, found).astype(values.dtype)
