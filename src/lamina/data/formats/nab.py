"""The Numenta anomaly benchmark: ``data/*/*.csv`` of timestamp and value, ``labels/combined_windows.json``.

Rows are taken in the order of their file: some stamps are there twice, and one clock goes back. Training sees the first
rows of each file alone, the probation of the benchmark, min(15 %, 750 rows); windows of labels are for evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.series.panel import LABELS, Array
from lamina.data.series.regular import regular
from lamina.data.series.restoring import ANOMALY
from lamina.data.series.roles import assign
from lamina.data.series.source import panel_source
from lamina.data.source import Source
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = Path("labels") / "combined_windows.json"
FILE, TIME, VALUE = "file", "timestamp", "value"


def is_nab(path: Path) -> bool:
    """Whether a folder holds the benchmark, or a part of its files."""
    return (path / WINDOWS).is_file() and (path / "data").is_dir()


def open_nab(name: str, path: Path, options: DataOptions) -> Source:
    """Every file of the benchmark as a series. Raises DataError for files that are not of its form."""
    import pandas as pd

    if options.group or options.rows or options.series or options.targets:
        raise UsageError(f"{name} is divided as its benchmark has it: leave group, rows, series and target out")
    files = sorted((path / "data").rglob("*.csv"))
    if not files:
        raise DataError(f"{path / 'data'} holds no CSV file")
    windows = _windows(path / WINDOWS)
    frames, names, marked = [], [], []
    for file in files:
        key = file.relative_to(path / "data").as_posix()
        frame = _read(file)
        frames.append(frame.assign(**{FILE: key}))
        names.append(key)
        marked.append(np.zeros(len(frame), bool))
        for first, last in row_windows(frame[TIME], windows.get(key, []), key):
            marked[-1][first : last + 1] = True
    table = pd.concat(frames, ignore_index=True)
    table[TIME] = table[TIME].dt.strftime("%Y-%m-%d %H:%M:%S")
    chosen = replace(options, task=ANOMALY, time=TIME, series=(FILE,), target=VALUE, known=(), static=())

    def place(row: int) -> str:
        return f"row {row + 1} of {name}"

    read = regular(table, assign(table, place, chosen), place, chosen, keeps_order=True)
    panel = replace(read.panel, anomalous_R=np.concatenate(marked)[read.origin_R])
    label_R = np.full(len(panel.stamps_R), LABELS.index("test"), np.int64)
    for number in range(len(panel.names)):
        rows = panel.rows_of(number)
        seen = rows[: probation(len(rows))]
        label_R[seen] = LABELS.index("train")
        if options.validation and options.teaches:
            label_R[seen[len(seen) - max(1, round(options.validation * len(seen))) :]] = LABELS.index("validation")
    source = panel_source(
        name, panel, chosen, label_R, ("the first 15 % of each file, at most 750 rows, train",), "MIT"
    )
    return replace(source, spec=replace(source.spec, task=ANOMALY))


def probation(rows: int) -> int:
    """Rows at the start of a file that the benchmark does not score."""
    return min(int(0.15 * rows), 750)


def row_windows(stamps: pd.Series[Any], windows: list[list[str]], key: str) -> list[tuple[int, int]]:
    """First and last row of each window of stamps; of stamps that are there twice the first row is meant.

    Raises DataError for a window whose stamps are no rows.
    """
    import pandas as pd

    found = []
    for ends in windows:
        rows = []
        for end in ends:
            at = np.flatnonzero((stamps == pd.Timestamp(end)).to_numpy())
            if not len(at):
                raise DataError(f"{WINDOWS}: {end} is no row of {key}")
            rows.append(int(at[0]))
        found.append((rows[0], rows[1]))
    return found


def _windows(path: Path) -> Mapping[str, list[list[str]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no windows by file")
    return content


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(path)
        stamps = pd.to_datetime(frame[TIME])
        values: Array = frame[VALUE].to_numpy(np.float64)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path.name} is no file of the benchmark: {' '.join(str(error).split())}") from None
    return pd.DataFrame({TIME: stamps, VALUE: values})
