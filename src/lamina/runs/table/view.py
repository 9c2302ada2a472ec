"""The view of runs on tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lamina.data.table.samples import Table
from lamina.inspection.importance import permutation_importance
from lamina.report.content import Internals
from lamina.runs.evaluation import measure, predicting
from lamina.runs.views.base import View
from lamina.runs.views.mistakes import Sample

if TYPE_CHECKING:
    import pandas as pd

IMPORTANCE_ROWS = 1000
"""maximum number of rows for measuring importance"""
IMPORTANCE_METRICS = {"rmse": ("r2", "max"), "mae": ("r2", "max")}
"""the metric for importance, where the watched metric has no natural scale"""


@dataclass(frozen=True)
class TableView(View):
    """Rows of a table: mistakes with their values, importance of the columns."""

    def assumed(self) -> Mapping[str, object]:
        return {"columns": "standardised with the means and deviations of these data: the file does not hold its own"}

    def sample(self, split: str, index: int, output: int) -> Sample:
        table = cast(Table, self.run.source.splits[split])
        return {"where": f"{split} row {index}", "values": table.frame.iloc[index].to_dict()}

    def internals(self, split: str) -> Internals:
        return Internals(gradients=self.gradients(), importance=self.importance(split))

    def importance(self, split: str) -> list[tuple[str, float, float]]:
        """Permutation importance of each column."""
        run = self.run
        if run.output_task() is None:
            return []
        table = cast(Table, run.source.splits[split])
        part = table.subset(range(min(IMPORTANCE_ROWS, len(table))))
        watched = run.task.monitor or ("loss", "min")
        name, mode = IMPORTANCE_METRICS.get(watched[0], watched)

        def score(frame: pd.DataFrame) -> float:
            samples = run.preprocess.encode(Table(frame, part.targets), hold=True)
            with predicting(run.model):
                value = measure(run.task, run.model, [run.preprocess.prepare(samples.tensors)])[name]
            return value if mode == "max" else -value

        return permutation_importance(score, part.frame, seed=run.config.recipe.seed)
