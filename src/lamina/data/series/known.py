"""Values known ahead, looked up by series and time."""

from __future__ import annotations

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.series.frequency import Frequency
from lamina.data.series.inputs import InputColumn
from lamina.data.series.panel import ONLY, Array, Roles
from lamina.data.series.regular import series_keys
from lamina.data.series.stamps import read_stamps, stamp_text
from lamina.data.tabular.columns import typed
from lamina.data.tabular.rows import Rows
from lamina.errors import DataError

SHOWN = 3


def values_at(
    rows: Rows,
    names: tuple[str, ...],
    due_SH: Array,
    roles: Roles,
    frequency: Frequency,
    columns: list[InputColumn],
    options: DataOptions,
) -> dict[str, Array]:
    """The values (S, H, width) of each column at the times due of each series.

    A file without the columns that name series holds for all of them. Raises DataError naming the series and times that
    are missing, and for two values at one time.
    """
    frame = rows.frame
    if roles.time is None:
        stamps = due_SH[0][: len(frame)] if len(frame) >= due_SH.shape[1] else due_SH[0, : len(frame)]
        frame = frame.iloc[: len(stamps)]
    else:
        stamps, _, _ = read_stamps(frame[roles.time], rows.place, options)
    keys = series_keys(frame, roles.series, options, rows.place)
    at: dict[tuple[str, int], int] = {}
    for row, key in enumerate(zip(keys.tolist(), stamps.tolist(), strict=True)):
        if key in at:
            raise DataError(f"{rows.place(row)}: {stamp_text(key[1], frequency.dated)} is there twice")
        at[key] = row
    lacking = [
        (name, int(stamp)) for s, name in enumerate(names) for stamp in due_SH[s] if (name, int(stamp)) not in at
    ]
    if lacking:
        raise _missing(lacking, frequency, rows)
    index = np.array([[at[name, int(stamp)] for stamp in due_SH[s]] for s, name in enumerate(names)])
    found = {}
    for one in columns:
        column = typed(frame[one.name], rows.place, categorical=bool(one.categories), options=options)
        values = one.values(column.values)
        empty = np.asarray(np.isnan(values).any(1))[index]
        if empty.any():
            s, h = np.argwhere(empty)[0]
            which = f" of series '{names[s]}'" if names[s] != ONLY else ""
            when = stamp_text(int(due_SH[s, h]), frequency.dated)
            raise DataError(f"{rows.place(int(index[s, h]))}: column '{one.name}' is empty at {when}{which}")
        found[one.name] = values[index]
    return found


def _missing(lacking: list[tuple[str, int]], frequency: Frequency, rows: Rows) -> DataError:
    """The error that names what a file of known values lacks."""
    by_name: dict[str, list[int]] = {}
    for name, stamp in lacking:
        by_name.setdefault(name, []).append(stamp)
    words = []
    for name, stamps in list(by_name.items())[:SHOWN]:
        which = f"series '{name}': " if name != ONLY else ""
        listed = ", ".join(stamp_text(one, frequency.dated) for one in stamps[:SHOWN])
        more = f" and {len(stamps) - SHOWN:,} more" if len(stamps) > SHOWN else ""
        words.append(f"{which}{listed}{more}")
    more = f"; {len(by_name) - SHOWN:,} more series" if len(by_name) > SHOWN else ""
    name = rows.place(0).split(", row")[0]
    return DataError(f"{name} lacks values known ahead of {'; '.join(words)}{more}")
