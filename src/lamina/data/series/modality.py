"""Series: the entry of the table of modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from lamina.data.protocols import Modality, Needs
from lamina.data.series.counting import LIFE
from lamina.data.series.fitting import fit_series
from lamina.data.series.life import fit_life, load_life
from lamina.data.series.panel import ONLY, Series
from lamina.data.series.preprocess import SeriesPreprocess
from lamina.data.series.requests import REQUESTS
from lamina.data.series.restoring import ANOMALY, fit_anomaly, load_anomaly
from lamina.data.series.stamps import stamp_text
from lamina.data.source import Source
from lamina.errors import UsageError

FITS: dict[str, Callable[[Source, Needs], SeriesPreprocess]] = {LIFE: fit_life, ANOMALY: fit_anomaly}
LOADS: dict[str, Callable[[Mapping[str, Any]], SeriesPreprocess]] = {LIFE: load_life, ANOMALY: load_anomaly}
"""those of tasks whose windows are others than of forecasts"""


def fit(source: Source, needs: Needs) -> SeriesPreprocess:
    """Fit the preprocess of series. Raises UsageError for a model with image inputs."""
    if needs.channels is not None or needs.size is not None:
        raise UsageError(f"{source.spec.name} holds series, but the model takes images")
    return FITS.get(source.spec.task, fit_series)(source, needs)


def load(files: Mapping[str, Mapping[str, Any]]) -> SeriesPreprocess:
    data = files["preprocess.json"]
    return LOADS.get(data["target"]["task"], SeriesPreprocess.from_dict)(data)


def describe(source: Source) -> dict[str, object]:
    """Span, frequency, season, the series and the roles of the columns."""
    panel = cast(Series, source.splits["train"]).panel
    first, last = (stamp_text(int(one), panel.frequency.dated) for one in (panel.stamps_R.min(), panel.stamps_R.max()))
    lengths = [len(panel.rows_of(number)) for number in range(len(panel.names))]
    roles = panel.roles
    rows = []
    for name in roles.values:
        column = panel.frame[name]
        row: dict[str, Any] = {"name": name, "kind": _role(name, source), "missing": int(column.isna().sum())}
        present = column.dropna()
        if column.dtype == np.float64:
            row |= {"min": float(present.min()), "max": float(present.max())} if len(present) else {}
        else:
            row["categories"] = int(present.nunique())
        rows.append(row)
    series = "" if panel.names == (ONLY,) else f"{len(panel.names):,}, of {min(lengths):,} to {max(lengths):,} rows"
    return {
        "time": roles.time or "the order of the rows",
        "span": f"{first} to {last}",
        "frequency": panel.frequency.name,
        "season": season_words(panel),
        "series": series,
        "gaps": panel.holes,
        "duplicates": panel.repeated,
        "columns": rows,
    }


def season_words(panel: Any) -> str:
    """The season, and the correlation of values one season apart."""
    if panel.season == 1:
        return "none"
    found = []
    for name in panel.roles.targets:
        values = panel.frame[name].to_numpy(np.float64)[panel.rows_of(0)]
        before, after = values[: -panel.season], values[panel.season :]
        both = ~(np.isnan(before) | np.isnan(after))
        if both.sum() > 2 and before[both].std() > 0 and after[both].std() > 0:
            found.append(float(np.corrcoef(before[both], after[both])[0, 1]))
    return f"{panel.season} rows" + (f" (correlation with the season before {np.mean(found):.2f})" if found else "")


def _role(name: str, source: Source) -> str:
    roles = cast(Series, source.splits["train"]).panel.roles
    kinds = {"target": roles.targets, "known ahead": roles.known, "static": roles.static, "past": roles.past}
    return next(kind for kind, names in kinds.items() if name in names)


MODALITY = Modality(
    name="series",
    noun="series",
    unit="series",
    fit=cast(Any, fit),
    load=cast(Any, load),
    example='"history.csv"',
    describe=describe,
    in_time=True,
    rows=lambda item: True,
    requests=REQUESTS,
)
