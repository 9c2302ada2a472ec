"""Fitting of the preprocess of series on training rows."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from lamina.data.protocols import Needs
from lamina.data.series.calendar import parts_of, repeated
from lamina.data.series.inputs import InputColumn
from lamina.data.series.panel import ONLY, Array, Panel, Series
from lamina.data.series.preprocess import SeriesPreprocess, moments
from lamina.data.series.windows import window_starts
from lamina.data.source import Source
from lamina.data.targets.code import TargetCode
from lamina.errors import DataError, UsageError

NAMED = 5
"""series that a note names"""
READING = ("missing", "day_first", "skip_bad", "gaps", "frequency", "categorical")
"""options that prediction needs, too"""


def fit_series(source: Source, needs: Needs) -> SeriesPreprocess:
    """The preprocess of series; see ``modality.fit_preprocess``.

    Raises UsageError without context or horizon, DataError where no window fits into a split.
    """
    train = cast(Series, source.splits["train"])
    panel, options, spec = train.panel, needs.options, source.spec
    context, horizon = length_of("context", needs), length_of("horizon", needs)
    rows = train.rows()
    notes = _short(source, context, horizon)
    per_series = options.scale == "series" or (
        options.scale == "auto"
        and len(panel.names) > 1
        and not spec.group
        and set(panel.series_of[rows]) == set(panel.series_of)
    )
    values_RC = panel.frame[list(panel.roles.targets)].to_numpy(np.float64)
    of_series = [rows[panel.series_of[rows] == number] for number in range(len(panel.names))]
    for name, nothing in zip(panel.roles.targets, np.isnan(values_RC[rows]).all(0), strict=True):
        if nothing:
            raise DataError(f"{spec.name}: column '{name}', a target, has no value in the training rows")
    trained = [number for number, own in enumerate(of_series) if len(own)]
    found = [moments(values_RC[of_series[number]]) for number in trained] if per_series else [moments(values_RC[rows])]
    notes += _constant(panel, values_RC, of_series, trained)
    used, takes_past, takes_future = _inputs(needs, panel, spec.name, notes)
    train_frame = panel.frame.iloc[rows]
    columns = {name: InputColumn.fit(train_frame[name]) for name in used}
    for name, column in columns.items():
        if column is None:
            notes.append(f"column '{name}' has one value only in the training data: left out")
    roles = panel.roles
    ahead = [columns[name] for name in (*roles.known, *roles.static) if columns.get(name) is not None]
    past = [columns[name] for name in roles.past if columns.get(name) is not None]
    lowest = np.nanmin(np.where(np.isnan(values_RC[rows]), np.inf, values_RC[rows]), axis=0)
    reading = {
        name: getattr(options, name) for name in READING if getattr(options, name) not in (None, (), False, "refuse")
    }
    return SeriesPreprocess(
        target=TargetCode(task=spec.task, names=roles.targets),
        roles=roles,
        frequency=panel.frequency,
        season=panel.season,
        context=context,
        horizon=horizon,
        names=tuple(panel.names[number] for number in trained),
        per_series=per_series,
        means=tuple(tuple(mean.tolist()) for mean, _ in found),
        stds=tuple(tuple(std.tolist()) for _, std in found),
        scales=tuple(tuple(_naive_scale(values_RC, of_series[number], panel).tolist()) for number in trained),
        known=tuple(cast(Any, ahead)) if takes_future else (),
        past=tuple(cast(Any, past)) if takes_past else (),
        parts=_calendar(options.calendar, panel, of_series) if takes_future and needs.model is not None else (),
        standardised=not hasattr(needs.model, "distribution"),
        lowest=tuple(lowest.tolist()),
        reading={
            **spec.reading,
            **{name: list(one) if isinstance(one, tuple) else one for name, one in reading.items()},
        },
        notes=tuple(notes),
    )


def _calendar(wanted: bool | None, panel: Panel, of_series: list[Array]) -> tuple[str, ...]:
    """The parts of the calendar that are inputs: all, none, or (None) those that come again in training rows."""
    if wanted is False:
        return ()
    parts = parts_of(panel.frequency)
    if wanted:
        return parts
    spans = [int(panel.stamps_R[own[-1]] - panel.stamps_R[own[0]]) for own in of_series if len(own)]
    return repeated(parts, max(spans, default=0))


def length_of(name: str, needs: Needs) -> int:
    """Context or horizon, as the data's option has it, else the model's. Raises UsageError."""
    given = getattr(needs.options, name)
    found = getattr(needs.model, name, None) if given is None else given
    if found is None:
        raise UsageError(f"how long is the {name}? give --{name} STEPS")
    return int(found)


def _inputs(needs: Needs, panel: Panel, name: str, notes: list[str]) -> tuple[tuple[str, ...], bool, bool]:
    """The columns that are inputs, and whether the model takes those of the past and those known ahead.

    Raises UsageError for inputs that were asked for and that the model does not take.
    """
    roles, options = panel.roles, needs.options
    if needs.model is None:  # a module of the user's own takes what is asked for
        return (
            (*roles.known, *roles.static, *(roles.past if options.past else ())),
            bool(options.past),
            bool(roles.known or roles.static),
        )
    takes_past = hasattr(needs.model, "past_covariates")
    takes_future = hasattr(needs.model, "future_covariates")
    asked = [column for column in (*roles.known, *roles.static) if not takes_future]
    asked += [column for column in options.past if not takes_past]
    if asked:
        raise UsageError(f"the model takes no inputs besides the targets, but {', '.join(map(repr, asked))} are named")
    if roles.past and not takes_past:
        notes.append(f"the model takes the targets alone: {', '.join(roles.past)} are left out")
    return (*roles.known, *roles.static, *(roles.past if takes_past else ())), takes_past, takes_future


def _short(source: Source, context: int, horizon: int) -> list[str]:
    """A note on series without a training window. Raises DataError for a split without any window."""
    need = context + horizon
    for name, split in source.splits.items():
        series = cast(Series, split)
        if not len(window_starts(series, context, horizon)):
            longest = int((series.high_P - series.low_P).max())
            if longest >= horizon or name == "train":
                before = int((series.high_P - series.panel.borders[:-1]).max())
                room = max(before - horizon, 0)
                way = f"--context {room} at most" if room > 0 else f"--horizon {max(1, before // 2)} at most"
                raise DataError(
                    f"{source.spec.name}: no series has the {need:,} rows of a window (context {context}, horizon "
                    f"{horizon}) in {name}, the longest has {before:,}: {way}"
                )
            way = "--rows or --test divides otherwise" if name == "test" else "--rows or --validation divides otherwise"
            raise DataError(
                f"{source.spec.name}: the horizon, {horizon}, is longer than the {longest:,} {name} rows of a series: "
                f"give a shorter one with --horizon ({way})"
            )
    train = cast(Series, source.splits["train"])
    panel, series_P = train.panel, train.panel.series_P
    lengths = np.zeros(len(panel.names), np.int64)
    np.maximum.at(lengths, series_P, train.high_P - panel.borders[:-1])
    inside = np.zeros(len(panel.names), bool)
    inside[series_P[train.high_P > train.low_P]] = True
    short = [panel.names[number] for number in np.flatnonzero(inside & (lengths < need))]
    if not short:
        return []
    listed = ", ".join(f"'{name}'" for name in short[:NAMED]) + (", ..." if len(short) > NAMED else "")
    return [
        f"{len(short):,} of {len(panel.names):,} series have fewer training rows than a window ({need:,}) and are not "
        f"trained on: {listed}"
    ]


def _constant(panel: Panel, values_RC: Array, of_series: list[Array], trained: list[int]) -> list[str]:
    found = [
        (panel.names[number], column)
        for number in trained
        for k, column in enumerate(panel.roles.targets)
        if len(own := values_RC[of_series[number], k])
        and np.nanmax(own, initial=-np.inf) == np.nanmin(own, initial=np.inf)
    ]
    if not found:
        return []
    listed = ", ".join(
        f"'{column}'" + (f" of series '{name}'" if name != ONLY else "") for name, column in found[:NAMED]
    )
    return [f"constant in training: {listed}{', ...' if len(found) > NAMED else ''}; MASE is not defined there"]


def _naive_scale(values_RC: Array, rows: Array, panel: Panel) -> Array:
    """Mean |y_t - y_(t-m)| (C,) over the training rows of a series; NaN where it is 0 or there is none."""
    later = rows[np.isin(rows - panel.season, rows)]
    steps = np.abs(values_RC[later] - values_RC[later - panel.season])
    part = np.searchsorted(panel.borders, later, side="right")
    same = part == np.searchsorted(panel.borders, later - panel.season, side="right")
    steps = steps[same]
    count = (~np.isnan(steps)).sum(0)
    mean = np.nansum(steps, 0) / np.maximum(count, 1)
    return np.where((count > 0) & (mean > 0), mean, np.nan)
