"""Groups of samples that belong together: a patient, a site, a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Groups:
    """The group of each sample, concatenated over splits.

    Example: ``Groups.of(frame["patient"]).numbers``
    """

    column: str
    names: Sequence[str]
    numbers: Tensor
    """(N,) int64: indices of ``names``"""

    @classmethod
    def of(cls, series: pd.Series[Any]) -> Groups:
        """The groups of a column without missing values."""
        import pandas as pd

        numbers, names = pd.factorize(series)
        return cls(str(series.name), [str(name) for name in names], torch.from_numpy(numbers.astype(np.int64)))

    def at(self, index: Tensor) -> Groups:
        """The groups of the samples at ``index``."""
        return replace(self, numbers=self.numbers[index])

    def compact(self) -> Tensor:
        """The numbers without those that no sample has, 0 to the number of groups."""
        return torch.from_numpy(np.unique(self.numbers.numpy(), return_inverse=True)[1].reshape(-1))
