"""Runs that predict grades from tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lamina.report.blocks import Section, Text
from lamina.report.content import Outcome, ReportContent
from lamina.runs.table.view import TableView


@dataclass(frozen=True)
class OrdinalView(TableView):
    """As every run on a table, and with the likeliest grades."""

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        found = super().predict(items, options)
        if options.top > 1:
            for one in found:
                likely = sorted(one["probabilities"], key=one["probabilities"].__getitem__, reverse=True)
                one["top"] = likely[: options.top]
        return found

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        off = f"{outcome.metrics['off']:.2f} grades off in the mean"
        return [Section(name="grades", title="Grades", blocks=[Text(text=off)])]
