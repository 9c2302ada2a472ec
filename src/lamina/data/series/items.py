"""What is given to predict: a history, and what is known ahead of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.options import DataOptions
from lamina.data.series.panel import Panel
from lamina.data.tabular.frames import as_written, checked, is_table, read_frame
from lamina.data.tabular.rows import Rows, joined_rows
from lamina.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class History:
    """A history to forecast from its end, and the values that are known ahead, each a table file or a data frame.

    Example: ``run.predict(History("sales.csv", known="holidays.csv"))``
    """

    past: Any
    """the path of a table, a data frame, or a panel"""
    known: Any = None
    """the path of a table, or a data frame, with the columns known ahead at the times that are due; None: none"""

    def rows(self, options: DataOptions) -> Rows:
        """The rows of the past, read. Raises UsageError and DataError."""
        return read_rows(self.past, options, "history")


def as_history(item: Any) -> History:
    return item if isinstance(item, History) else History(item)


def read_rows(item: Any, options: DataOptions, what: str) -> Rows:
    """The rows of a table file or data frame, their cells as values."""
    frame, name = _frame(item, options, what)
    return joined_rows({"train": frame}, {"train": name}, options)


def _frame(item: Any, options: DataOptions, what: str) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    if isinstance(item, str | Path):
        path = Path(item).expanduser()
        if not path.is_file():
            raise UsageError(f"no such file: {item}")
        if not is_table(path):
            raise UsageError(f"'{item}' is not a table (CSV, TSV, Parquet, JSON lines or JSON)")
        return read_frame(path, options)[0], path.name
    if hasattr(item, "to_pandas"):
        item = item.to_pandas()
    if not isinstance(item, pd.DataFrame):
        raise UsageError(f"a {what} must be the path of a table or a data frame, not {type(item).__name__}")
    return as_written(checked(item, f"the {what}")), f"the {what}"


def is_panel(item: Any) -> bool:
    """Whether a history is read already."""
    return isinstance(item, Panel)
