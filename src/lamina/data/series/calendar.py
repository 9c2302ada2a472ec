"""The calendar as inputs that are known ahead: hour, weekday, day, day of the year, each from -1/2 to 1/2."""

from __future__ import annotations

import numpy as np

from lamina.data.series.frequency import DAY, SECOND, Array, Frequency

PARTS = {
    "minute": (3600 * SECOND, 59),
    "hour": (DAY, 23),
    "weekday": (7 * DAY, 6),
    "day": (28 * DAY, 30),
    "day of year": (365 * DAY, 365),
}
"""parts: how long one repetition takes, and the largest value"""


def parts_of(frequency: Frequency) -> tuple[str, ...]:
    """The parts that change from step to step and come again: of hours hour, weekday, day and day of the year."""
    if not frequency.dated:
        return ()
    if frequency.unit == "months":
        return ("day of year",) if frequency.count < 12 else ()
    step = DAY if frequency.unit == "business" else frequency.count
    return tuple(
        name for name, (cycle, _) in PARTS.items() if step < cycle and (name != "minute" or step < 3600 * SECOND)
    )


def repeated(parts: tuple[str, ...], span: int) -> tuple[str, ...]:
    """The parts of which a span of time, in nanoseconds, holds two turns or more. Of the others a model sees each value
    once: they would stand for the time itself, and rows to come are beyond all that it saw.

    Example: of 360 days ``repeated(("hour", "day of year"), 360 * DAY)`` is ``("hour",)``.
    """
    return tuple(name for name in parts if span >= 2 * PARTS[name][0])


def calendar(stamps: Array, parts: tuple[str, ...]) -> Array:
    """The parts (N, F) float32 of stamps (N,).

    Example: ``calendar(stamps, ("hour",))`` is -0.5 at midnight and 0.5 at 23:00.
    """
    dates = stamps.astype("datetime64[ns]")
    days = dates.astype("datetime64[D]")
    values = {
        "minute": (dates - dates.astype("datetime64[h]")).astype(np.int64) // (60 * SECOND),
        "hour": (dates - days).astype(np.int64) // (3600 * SECOND),
        "weekday": (days.astype(np.int64) + 3) % 7,
        "day": (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64),
        "day of year": (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64),
    }
    columns = [values[name] / PARTS[name][1] - 0.5 for name in parts]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(stamps), 0), np.float32)
