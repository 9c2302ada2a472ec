"""The target of remaining life: a column, or the rows of a unit after each, counted back from its last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.series.panel import Panel
from lamina.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

LIFE = "remaining-life"
USUAL = ("rul", "cycles_left", "remaining_life", "remaining_useful_life", "rows_left")
COUNTED = "rows_left"
"""the target that is counted, where no column has it"""


def with_life(
    name: str, frame: pd.DataFrame, options: DataOptions
) -> tuple[pd.DataFrame, DataOptions, tuple[str, ...]]:
    """The table with its target, the options with its role, and a note: without a target each unit is taken to have run
    until it failed, and its rows are counted back from its last.

    Raises UsageError for a table without a column of units.
    """
    if options.task != LIFE:
        return frame, options, ()
    columns = [str(column) for column in frame.columns]
    series = options.series or tuple(column for column in columns if column.casefold() in ("unit", "unit_id", "id"))[:1]
    if not series:
        raise UsageError(f"remaining life is of units: --series names the column of {name} that tells them apart")
    options = replace(options, series=series, group=options.group or series[0])
    if len(options.targets) > 1:
        raise UsageError(f"remaining life is one number: --target names one column, got {', '.join(options.targets)}")
    if options.targets or not options.teaches:
        return frame, options, ()
    usual = [column for column in columns if column.casefold() in USUAL]
    if usual:
        return frame, replace(options, target=usual[0]), (f"the target is '{usual[0]}'",)
    note = "each unit ran until it failed: its rows are counted back from the last (--target names a column instead)"
    return frame.assign(**{COUNTED: 0.0}), replace(options, target=COUNTED), (note,)


def count_back(panel: Panel) -> None:
    """Set the target that ``with_life`` added: the rows of a unit after each, in order of time."""
    if panel.roles.targets != (COUNTED,):
        return
    life_R = np.zeros(len(panel.frame))
    for number in range(len(panel.names)):
        rows = panel.rows_of(number)
        life_R[rows] = np.arange(len(rows) - 1, -1, -1)
    panel.frame[COUNTED] = life_R
