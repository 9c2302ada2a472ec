"""Learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lamina.report import figures
from lamina.report.blocks import Block, Chart, Charts, Section, Text
from lamina.report.wording import is_share, metric_name, number, rounded
from lamina.tasks.facts import quality

SIDES = ("train", "validation")


def section(history: Sequence[Mapping[str, float]]) -> Section:
    """Loss first, then every metric, then the learning rate; absent and non-finite values are left out."""
    if not history:
        return Section(
            name="learning", title="Learning", blocks=[Text(text="No epoch was finished: there are no curves.")]
        )
    x_name = next((name for name in ("epoch", "step") if name in history[0]), "row")
    kept = _kept(history, x_name)
    charts = []
    for quantity, keys in _quantities(history).items():
        scale = 100 if is_share(quantity) else 1
        lines = {side: finite_line(history, x_name, key, scale) for side, key in keys.items()}
        if any(len(x) for x, _ in lines.values()):
            at = kept if "validation" in lines else None
            title = metric_name(quantity) + (" in %" if is_share(quantity) else "")
            svg = figures.curves(title, lines, x_name, at)
            charts.append(Chart(title=title[:1].upper() + title[1:], svg=svg, note=_note(lines)))
    blocks: list[Block] = []
    validated = any(key.startswith("validation_") for row in history for key in row)
    if kept is not None and len(history) > 1:
        line = " (dotted line)" if validated else ""
        blocks.append(Text(text=f"The weights kept are those after {x_name} {number(kept)}{line}."))
    if not validated:
        blocks.append(Text(text="There was no validation split."))
    blocks.append(Charts(charts=charts) if charts else Text(text="No finite value was logged."))
    return Section(name="learning", title="Learning", blocks=blocks)


def _quantities(history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, str]]:
    """{"loss": {"train": "train_loss", "validation": "validation_loss"}, ..., "lr": {"": "lr"}}."""
    keys = list(dict.fromkeys(key for row in history for key in row))
    found: dict[str, dict[str, str]] = {"loss": {}}
    for side in SIDES:
        names = [key.removeprefix(f"{side}_") for key in keys if key.startswith(f"{side}_")]
        for name in quality(names):
            found.setdefault(name, {})[side] = f"{side}_{name}"
    if "lr" in keys:
        found["lr"] = {"": "lr"}
    return found


def finite_line(history: Sequence[Mapping[str, float]], x_name: str, key: str, scale: float = 1) -> figures.Points:
    """The finite points of one column, values times ``scale``."""
    points = [(_value(row, x_name, i), scale * _value(row, key, math.nan)) for i, row in enumerate(history, start=1)]
    xy = np.array([point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]).reshape(-1, 2)
    return xy[:, 0], xy[:, 1]


def _value(row: Mapping[str, float], key: str, otherwise: float) -> float:
    value = row.get(key, otherwise)
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def _kept(history: Sequence[Mapping[str, float]], x_name: str) -> float | None:
    best = [_value(row, x_name, i) for i, row in enumerate(history, start=1) if row.get("best")]
    return best[-1] if best else None


def _note(lines: Mapping[str, figures.Points]) -> str:
    """The last values, in words."""
    ends = [f"{line} {rounded(float(y[-1]))}".strip() for line, (_, y) in lines.items() if len(y)]
    return f"At the end: {', '.join(ends)}"
