"""A picture of the end of a history with its forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.data.series.items import History, is_panel
from lamina.data.series.panel import ONLY
from lamina.data.series.stamps import stamp_text
from lamina.report.series.figures import Fan, fan_png

MOST = 6
"""series and targets that are drawn"""


def forecast_picture(
    preprocess: Any, histories: Sequence[History], rows: Sequence[dict[str, Any]], levels: Sequence[int]
) -> bytes:
    """The forecasts of ``Run.predict`` as a PNG file, below the last rows of each history."""
    return fan_png(history_fans(preprocess, histories, rows, levels)[:MOST])


def history_fans(
    preprocess: Any, histories: Sequence[History], rows: Sequence[dict[str, Any]], levels: Sequence[int]
) -> list[Fan]:
    """A fan for each series and target."""
    fans, horizon, at = [], preprocess.horizon, 0
    for history in histories:
        panel = history.past if is_panel(history.past) else preprocess.panel(history)
        for number, name in enumerate(panel.names):
            due = rows[at : at + horizon]
            at += horizon
            own = panel.rows_of(number)[-max(2 * horizon, preprocess.context // 2) :]
            first, last = (stamp_text(int(panel.stamps_R[row]), panel.frequency.dated) for row in (own[0], own[-1]))
            for target in preprocess.roles.targets:
                ends = {
                    level: tuple(
                        np.array([row[f"{target}_{side}_{level}"] for row in due]) for side in ("lower", "upper")
                    )
                    for level in levels
                    if f"{target}_lower_{level}" in due[0]
                }
                fans.append(
                    Fan(
                        title=target if name == ONLY else f"{target} of {name}",
                        past_L=panel.frame[target].to_numpy(np.float64)[own],
                        forecast_H=np.array([row[target] for row in due]),
                        intervals=ends,  # type: ignore[arg-type]  # two arrays a level
                        times=(first, last, str(due[-1][preprocess.roles.time or "step"])),
                    )
                )
    return fans
