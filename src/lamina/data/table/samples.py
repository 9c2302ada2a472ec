"""Splits of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lamina.data.source import as_index, chosen_targets
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Rows of a data frame without its target columns, values as read."""

    frame: pd.DataFrame
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def subset(self, index: Sequence[int]) -> Table:
        chosen = as_index(index)
        rows = self.frame.iloc[chosen.tolist()].reset_index(drop=True)
        return Table(rows, chosen_targets(self.targets, chosen))

    def joined(self, other: Table) -> Table:
        import pandas as pd

        columns = list(self.frame.columns)
        if set(columns) != set(other.frame.columns):
            raise DataError("tables can only be combined if they have the same columns")
        return Table(pd.concat([self.frame, other.frame[columns]], ignore_index=True))

    def repeated(self, other: Table) -> int:
        mine, theirs = (_row_hashes(split) for split in (self, other))
        return int(np.isin(mine, theirs).sum())

    def with_targets(self, targets: Tensor | None) -> Table:
        return replace(self, targets=targets)


def _row_hashes(table: Table) -> np.ndarray[Any, Any]:
    import pandas as pd

    frame = table.frame
    if table.targets is not None:
        columns = table.targets.reshape(len(table), -1).numpy()
        targets = pd.DataFrame(columns, columns=[("target", k) for k in range(columns.shape[1])])
        frame = pd.concat([frame, targets], axis=1)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy())
