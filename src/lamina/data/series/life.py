"""Remaining life: windows of what is measured of a unit, up to a row, and the rows that are left from it.

Legend: R rows, D inputs, B batch, L context, S units.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from lamina.data.protocols import Input, Needs, Signature
from lamina.data.series.fitting import NAMED, READING, length_of
from lamina.data.series.inputs import InputColumn
from lamina.data.series.items import History, as_history, is_panel
from lamina.data.series.panel import Array, Panel, Series
from lamina.data.series.preprocess import SeriesPreprocess, moments, spelled, spelled_name
from lamina.data.series.regular import regular
from lamina.data.series.roles import assign
from lamina.data.series.windows import PAST, Windows
from lamina.data.source import Source, Split
from lamina.data.streams import Batch
from lamina.data.targets.code import TargetCode
from lamina.errors import DataError, DataWarning

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class LifeWindows(Windows):
    """Windows that end in a row whose life is the target; a unit's first row is repeated before its beginning."""

    first_W: Tensor | None = None
    """the first row of the unit of each window"""

    def take(self, index: Tensor | slice) -> Batch:
        """Inputs (B, L, D), and the life (B, 1) left in the last of their rows."""
        assert self.first_W is not None
        start_B, first_B = self.starts_W[index], self.first_W[index]
        steps_L = torch.arange(self.context, device=start_B.device)
        rows_BL = torch.maximum(start_B[:, None] + steps_L, first_B[:, None])
        batch = {
            PAST: self.rows_RD[:, self.channels :][rows_BL],
            "target": self.rows_RD[rows_BL[:, -1], : self.channels],
        }
        if self.series_R is not None:
            batch["unit"] = self.series_R[rows_BL[:, -1]]
        return batch

    def at(self, index: Tensor) -> LifeWindows:
        assert self.first_W is not None
        index = index.to(self.starts_W.device)
        return replace(self, starts_W=self.starts_W[index], first_W=self.first_W[index])

    def to(self, device: torch.device) -> LifeWindows:
        moved = cast(LifeWindows, super().to(device))
        return replace(moved, first_W=None if self.first_W is None else self.first_W.to(device))


def ends_of(split: Series, context: int) -> tuple[Array, Array]:
    """The last row of each window, and the first row of its unit.

    Of a unit that ran until it failed every row with a whole window before it; of one that is cut before, its last row
    alone, which is when it is asked for.
    """
    panel = split.panel
    life_R = panel.frame[panel.roles.targets[0]].to_numpy(np.float64)
    ends, firsts = [], []
    for start, low, high in zip(panel.borders[:-1], split.low_P, split.high_P, strict=True):
        if high <= low:
            continue
        cut = life_R[high - 1] != 0
        found = np.array([high - 1]) if cut else np.arange(max(low, start + context - 1), high)
        ends.append(found)
        firsts.append(np.full(len(found), start))
    return (np.concatenate(ends), np.concatenate(firsts)) if ends else (np.zeros(0, int), np.zeros(0, int))


@dataclass(frozen=True, kw_only=True)
class LifePreprocess(SeriesPreprocess):
    """All processing of units before the model: inputs standardised on training units, cut into windows.

    Example: ``fit_life(open_source("CMAPSSData/train_FD001.txt"), needs)``
    """

    lives: tuple[tuple[float, int], ...] = ()
    """the lives in training, and how often each is there"""

    def mean_life(self, cap: float) -> float:
        """The mean of the smaller of life and cap in training: the best constant prediction."""
        total = sum(count for _, count in self.lives)
        return sum(min(life, cap) * count for life, count in self.lives) / total

    def model_options(self) -> dict[str, int]:
        return {"context": self.context, "horizon": 1, "channels": len(self.input_names)}

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "lives": [list(pair) for pair in self.lives]}

    def signature(self) -> Signature:
        return (Input(PAST, "float32", (self.context, len(self.input_names))),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs."""
        return (batch[PAST],), {}

    def encode(self, split: Split, hold: bool = True) -> LifeWindows:
        """The windows of a split. Raises DataError for other columns."""
        series = cast(Series, split)
        rows_RD, _, series_R = self.scaled_rows(series.panel)
        ends, firsts = ends_of(series, self.context)
        return LifeWindows(
            rows_RD,
            torch.from_numpy(ends - self.context + 1),
            self.context,
            1,
            self.channels,
            0,
            None,
            series_R,
            None,
            torch.from_numpy(firsts),
        )

    def encode_input(self, item: object) -> Batch:
        """The last window of each unit of a history. Raises UsageError and DataError."""
        history = as_history(item)
        panel = history.past if is_panel(history.past) else self.panel(history)
        rows_RD, _, _ = self.scaled_rows(panel)
        last = torch.tensor([int(panel.rows_of(number)[-1]) for number in range(len(panel.names))])
        first = torch.tensor([int(panel.rows_of(number)[0]) for number in range(len(panel.names))])
        rows_SL = torch.maximum(last[:, None] - torch.arange(self.context - 1, -1, -1), first[:, None])
        names = torch.stack([spelled(name) for name in panel.names])
        return {PAST: rows_RD[:, self.channels :][rows_SL], "name": names}

    def named_unit(self, prediction: Mapping[str, Tensor]) -> dict[str, Any]:
        """The name of a predicted unit, by its column."""
        if "name" not in prediction:
            return {}
        return {" / ".join(self.roles.series) or "unit": spelled_name(prediction["name"])}

    def input_batches(self, item: object) -> Iterator[Batch]:
        yield self.encode_input(item)

    def panel(self, history: History) -> Panel:
        """A history read as the run's own data, with or without the target."""
        options = self.reading_options()
        rows = history.rows(options)
        inputs = (*self.roles.series, *(one.name for one in self.past))
        lacking = [name for name in inputs if name not in rows.frame.columns]
        if lacking:
            raise DataError(f"{rows.place(0)}: the history lacks {', '.join(map(repr, lacking))}")
        frame = rows.frame[list(inputs)].assign(**{self.roles.targets[0]: 0.0})
        read = regular(frame, assign(frame, rows.place, options), rows.place, options, self.frequency)
        for text in read.notes:
            if not text.startswith("no column"):
                warnings.warn(f"the history: {text}", DataWarning, stacklevel=2)
        return read.panel


def fit_life(source: Source, needs: Needs) -> LifePreprocess:
    """The preprocess of remaining life, fitted on training units.

    Raises UsageError without a context, DataError for a unit in two splits, one without inputs that vary, and where no
    unit is as long as the context.
    """
    train = cast(Series, source.splits["train"])
    panel, spec = train.panel, source.spec
    expect_apart(source)
    context = length_of("context", needs)
    rows, roles = train.rows(), panel.roles
    lengths = {panel.names[series]: int(high - low) for series, low, high in zip(
        panel.series_P, train.low_P, train.high_P, strict=True) if high > low}  # fmt: skip
    short = [name for name, length in lengths.items() if length < context]
    notes = []
    if len(short) == len(lengths):
        raise DataError(f"{spec.name}: no unit has the {context} rows of a window: --context {max(lengths.values())}")
    if short:
        listed = ", ".join(map(repr, short[:NAMED])) + (", ..." if len(short) > NAMED else "")
        notes.append(f"{len(short):,} units are shorter than {context} rows and are not trained on: {listed}")
    columns = {
        name: InputColumn.fit(panel.frame[name].iloc[rows]) for name in (*roles.known, *roles.static, *roles.past)
    }
    constant = [name for name, column in columns.items() if column is None]
    past = tuple(column for column in columns.values() if column is not None)
    if constant:
        notes.append(f"of one value in the training data, left out: {', '.join(constant)}")
    if not past:
        raise DataError(f"{spec.name}: no input varies in the training data")
    life = panel.frame[roles.targets[0]].to_numpy(np.float64)
    if np.isnan(life[rows]).any() or (life[rows] < 0).any():
        raise DataError(f"{spec.name}: '{roles.targets[0]}' holds missing or negative values")
    mean, std = moments(life[rows][:, None])
    kept = {name: getattr(needs.options, name) for name in READING}
    reading = {name: value for name, value in kept.items() if value not in (None, (), False, "refuse")}
    values, counts = np.unique(life[rows], return_counts=True)
    return LifePreprocess(
        target=TargetCode(task=spec.task, names=roles.targets),
        roles=roles,
        frequency=panel.frequency,
        season=1,
        context=context,
        horizon=1,
        names=tuple(lengths),
        per_series=False,
        means=(tuple(mean.tolist()),),
        stds=(tuple(std.tolist()),),
        scales=tuple((float("nan"),) for _ in lengths),
        past=past,
        standardised=False,
        reading={**spec.reading, **{k: list(v) if isinstance(v, tuple) else v for k, v in reading.items()}},
        notes=tuple(notes),
        lives=tuple(zip(values.tolist(), counts.tolist(), strict=True)),
    )


def expect_apart(source: Source) -> None:
    """Raise DataError for a unit whose rows are in two splits."""
    seen: dict[str, str] = {}
    for split, part in source.splits.items():
        series = cast(Series, part)
        for number in np.unique(series.panel.series_P[series.high_P > series.low_P]):
            unit = series.panel.names[int(number)]
            other = seen.setdefault(unit, split)
            if other != split:
                raise DataError(
                    f"{source.spec.name}: unit '{unit}' is in {other} and in {split}: windows of one unit are alike, "
                    "so that a unit is in one split (--group divides by units)"
                )


def load_life(data: Mapping[str, Any]) -> LifePreprocess:
    """What ``to_dict`` wrote."""
    plain = SeriesPreprocess.from_dict(data)
    values = {field.name: getattr(plain, field.name) for field in fields(plain) if field.init and field.name[0] != "_"}
    return LifePreprocess(**values, lives=tuple((float(life), int(count)) for life, count in data["lives"]))
