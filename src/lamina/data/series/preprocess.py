"""Preprocessing of series: targets standardised, inputs encoded, windows cut; fitted on training rows alone.

Legend: R rows, S series, C targets, D values of a row, B batch, L context, H horizon, P and F covariates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from lamina.data.options import DataOptions, EvaluationOptions, Known
from lamina.data.protocols import BatchOptions, Input, Signature
from lamina.data.series.calendar import calendar
from lamina.data.series.frequency import Frequency, frequency_of
from lamina.data.series.inputs import InputColumn, filled_forward
from lamina.data.series.items import History, as_history, is_panel, read_rows
from lamina.data.series.panel import ONLY, Array, Panel, Roles, Series
from lamina.data.series.regular import regular
from lamina.data.series.roles import assign
from lamina.data.series.stamps import stamp_text
from lamina.data.series.windows import FUTURE_COVARIATES, PAST, PAST_COVARIATES, Windows, window_starts
from lamina.data.source import Split
from lamina.data.streams import Batch, Stream, in_order, shuffled
from lamina.data.targets.code import TargetCode
from lamina.errors import DataError, DataWarning, nearest

NAME_LENGTH = 64
"""characters of a series' name in a batch"""


@dataclass(frozen=True, kw_only=True)
class SeriesPreprocess:
    """All processing of series before the model; fitted on train, saved with the run.

    Example: ``fit_preprocess(open_source("sales.csv", options=DataOptions(time="date", horizon=24)))``
    """

    kind: ClassVar[str] = "series"

    target: TargetCode
    roles: Roles
    frequency: Frequency
    season: int
    context: int
    horizon: int
    names: tuple[str, ...]
    """the series trained on"""
    per_series: bool
    """whether each series is standardised by itself"""
    means: tuple[tuple[float, ...], ...]
    """of each target, for each series, or one for all"""
    stds: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    """mean absolute error of the seasonal naive forecast in training, own units; NaN where it is 0"""
    known: tuple[InputColumn, ...] = ()
    """inputs known ahead, static ones among them"""
    past: tuple[InputColumn, ...] = ()
    parts: tuple[str, ...] = ()
    """parts of the calendar, inputs known ahead"""
    standardised: bool = True
    """whether the model sees standardised targets; else they are in their own units"""
    lowest: tuple[float, ...] = ()
    """smallest value of each target in training"""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """options that a table is read with"""
    notes: tuple[str, ...] = ()
    _encoded: WeakKeyDictionary[Panel, tuple[Tensor, Tensor | None, Tensor]] = field(
        default_factory=WeakKeyDictionary, compare=False, repr=False
    )

    # ------------------------------------------------------------------ sizes

    @property
    def channels(self) -> int:
        return len(self.roles.targets)

    @property
    def known_names(self) -> tuple[str, ...]:
        """The inputs known ahead, in order."""
        return (*(f"calendar {part}" for part in self.parts), *(name for one in self.known for name in one.names))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs beside the targets, those known ahead first."""
        return (*self.known_names, *(name for one in self.past for name in one.names))

    def model_options(self) -> dict[str, int]:
        return {
            "context": self.context,
            "horizon": self.horizon,
            "channels": self.channels,
            "past_covariates": len(self.input_names),
            "future_covariates": len(self.known_names),
        }

    def signature(self) -> Signature:
        inputs = [Input(PAST, "float32", (self.context, self.channels))]
        if self.input_names:
            inputs.append(Input(PAST_COVARIATES, "float32", (self.context, len(self.input_names))))
        if self.known_names:
            inputs.append(Input(FUTURE_COVARIATES, "float32", (self.horizon, len(self.known_names))))
        return tuple(inputs)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The past, its covariates, those of the future, as far as there are any."""
        return tuple(batch[name] for name in (PAST, PAST_COVARIATES, FUTURE_COVARIATES) if name in batch), {}

    def bytes_of(self, split: Split) -> int:
        return 4 * len(split) * (self.channels + len(self.input_names))

    # ------------------------------------------------------------------ encoding

    def encode(self, split: Split, hold: bool = True) -> Windows:
        """The windows of a split, all in one tensor. Raises DataError for other columns or another frequency."""
        series = cast(Series, split)
        panel = series.panel
        rows_RD, observed_RC, series_R = self.scaled_rows(panel)
        starts = window_starts(series, self.context, self.horizon)
        return Windows(
            rows_RD,
            torch.from_numpy(starts),
            self.context,
            self.horizon,
            self.channels,
            len(self.known_names),
            observed_RC,
            series_R,
            self.units(panel),
        )

    def units(self, panel: Panel) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, standard deviation and scale (S, C) of the series of a panel; of a series that was not trained on those
        of its own values."""
        index = {name: k for k, name in enumerate(self.names)}
        means, stds, scales = (
            np.array(of, np.float64).reshape(-1, self.channels) for of in (self.means, self.stds, self.scales)
        )
        found: list[tuple[Array, Array, Array]] = []
        for number, name in enumerate(panel.names):
            k = index.get(name)
            scale = np.full(self.channels, np.nan) if k is None else scales[k]
            if not self.per_series:
                found.append((means[0], stds[0], scale))
            elif k is not None:
                found.append((means[k], stds[k], scale))
            else:
                mean, std = moments(panel.frame[list(self.roles.targets)].to_numpy(np.float64)[panel.rows_of(number)])
                found.append((mean, std, scale))
        of_S3C = np.array(found, np.float64).reshape(-1, 3, self.channels)
        mean_SC, std_SC, scale_SC = (torch.from_numpy(of_S3C[:, i].astype(np.float32)) for i in range(3))
        return mean_SC, std_SC, scale_SC

    def scaled_rows(self, panel: Panel) -> tuple[Tensor, Tensor | None, Tensor]:
        """The rows of a panel, what is observed, and the series of each."""
        if panel not in self._encoded:
            self._expect_same(panel)
            series_R = panel.series_of
            targets_RC = panel.frame[list(self.roles.targets)].to_numpy(np.float64)
            if self.standardised:
                mean_SC, std_SC, _ = (one.double().numpy() for one in self.units(panel))
                targets_RC = (targets_RC - mean_SC[series_R]) / std_SC[series_R]
            missing = np.isnan(targets_RC)
            values = [targets_RC.astype(np.float32), calendar(panel.stamps_R, self.parts)]
            values += [one.values(panel.frame[one.name]) for one in (*self.known, *self.past)]
            rows = filled_forward(np.concatenate(values, 1), panel.borders)
            observed = torch.from_numpy(~missing) if missing.any() else None
            self._encoded[panel] = torch.from_numpy(rows), observed, torch.from_numpy(series_R)
        return self._encoded[panel]

    def _expect_same(self, panel: Panel) -> None:
        columns = [str(name) for name in panel.frame.columns]
        wanted = (*self.roles.targets, *(one.name for one in (*self.known, *self.past)))
        absent = [name for name in wanted if name not in columns]
        if absent:
            raise DataError(f"the data lack {len(absent)} of the columns of training: {', '.join(absent)}")
        if panel.frequency != self.frequency:
            raise DataError(
                f"the data have a row every {panel.frequency.name}, but the model was trained on {self.frequency.name}"
            )

    def prepare(self, batch: Batch) -> Batch:
        """The batch unchanged."""
        return batch

    def training_stream(self, samples: Windows, options: BatchOptions) -> Stream:
        """Shuffled training batches."""
        return shuffled(cast(Any, samples.bare()), options.recipe, options.place, self.prepare, whole=options.whole)

    def evaluation_batches(self, samples: Windows, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every window once, in order."""
        return in_order(cast(Any, samples), options.recipe, options.place, self.prepare, workers)

    # ------------------------------------------------------------------ prediction

    def encode_input(self, item: object) -> Batch:
        """The last window of each series of a history, and the inputs known of what is due, for ``predict``.

        Raises UsageError for a missing file, DataError for a history shorter than the context, for other columns or
        another frequency, and for inputs known ahead that are missing: which series, which times.
        """
        history = as_history(item)
        panel = history.past if is_panel(history.past) else self.panel(history)
        rows_RD, _, _ = self.scaled_rows(panel)
        last_S = self._ends(panel)
        mean_SC, std_SC, scale_SC = self.units(panel)
        start_S = torch.from_numpy(last_S) - self.context
        cut_SLD = rows_RD.unfold(0, self.context, 1)[start_S].transpose(1, 2)
        stamps_S = torch.from_numpy(panel.stamps_R[last_S - 1])
        batch = {PAST: cut_SLD[:, :, : self.channels]}
        if self.input_names:
            batch[PAST_COVARIATES] = cut_SLD[:, :, self.channels :]
        if self.known_names:
            batch[FUTURE_COVARIATES] = self._future(panel, last_S, history)
        names = torch.stack([spelled(name) for name in panel.names])
        return {**batch, "mean": mean_SC, "std": std_SC, "scale": scale_SC, "stamp": stamps_S, "name": names}

    def input_batches(self, item: object) -> Iterator[Batch]:
        """``encode_input`` as a single batch. Raises UsageError or DataError."""
        yield self.encode_input(item)

    def panel(self, history: History) -> Panel:
        """A history read as the run's own data. Raises UsageError and DataError."""
        options = self.reading_options()
        rows = history.rows(options)
        lacking = [name for name in self._needed() if name not in rows.frame.columns]
        if lacking:
            near = nearest(lacking[0], [str(column) for column in rows.frame.columns])
            hint = f" (there is '{near}')" if near else ""
            raise DataError(f"{rows.place(0)}: the history lacks {', '.join(map(repr, lacking))}{hint}")
        kept = rows.frame[[name for name in rows.frame.columns if name in self._needed()]]
        read = regular(kept, assign(kept, rows.place, options), rows.place, options, self.frequency)
        for text in read.notes:
            if text.startswith("no column"):
                continue
            warnings.warn(f"the history: {text}", DataWarning, stacklevel=2)
        return read.panel

    def _needed(self) -> tuple[str, ...]:
        time = () if self.roles.time is None else (self.roles.time,)
        inputs = (one.name for one in (*self.known, *self.past))
        return tuple(dict.fromkeys((*time, *self.roles.series, *self.roles.targets, *inputs)))

    def _ends(self, panel: Panel) -> Array:
        """The row after the last of each series. Raises DataError for a series that is too short."""
        ends, short = [], []
        for number, name in enumerate(panel.names):
            part = int(np.flatnonzero(panel.series_P == number)[-1])
            count = int(panel.borders[part + 1] - panel.borders[part])
            if count < self.context:
                short.append((name, count))
            ends.append(int(panel.borders[part + 1]))
        if short:
            name, count = short[0]
            which = f"series '{name}'" if name != ONLY else "the history"
            more = f"; {len(short):,} series are too short" if len(short) > 1 else ""
            gap = " after its last gap" if len(panel.series_P) > len(panel.names) else ""
            raise DataError(f"{which} has {count:,} rows{gap}, but the model looks at {self.context}{more}")
        return np.array(ends, np.int64)

    def _future(self, panel: Panel, last_S: Array, history: History) -> Tensor:
        """Inputs known of the steps that are due, (S, H, F)."""
        due_SH = np.stack([self.frequency.after(int(panel.stamps_R[end - 1]), self.horizon) for end in last_S])
        parts = [calendar(due_SH.reshape(-1), self.parts).reshape(len(last_S), self.horizon, -1)]
        columns = [one for one in self.known if one.name not in self.roles.static]
        ahead = self._known_ahead(panel, due_SH, history, columns) if columns else {}
        for one in self.known:
            if one.name in self.roles.static:
                value = one.values(panel.frame[one.name].iloc[last_S - 1])
                parts.append(np.repeat(value[:, None], self.horizon, 1))
            else:
                parts.append(ahead[one.name])
        return torch.from_numpy(np.nan_to_num(np.concatenate(parts, 2)).astype(np.float32))

    def _known_ahead(
        self, panel: Panel, due_SH: Array, history: History, columns: list[InputColumn]
    ) -> dict[str, Array]:
        """The values known ahead of what is due. Raises DataError naming the series and times without them."""
        listed = ", ".join(f"'{one.name}'" for one in columns)
        if history.known is None:
            first, last = (stamp_text(int(one), self.frequency.dated) for one in (due_SH.min(), due_SH.max()))
            raise DataError(
                f"the model needs {listed} of {first} to {last}, known ahead: --known FILE has these columns with "
                f"{self.roles.time or 'their time'}"
            )
        options = replace(
            self.reading_options(), target=tuple(one.name for one in columns), known=(), past=(), static=()
        )
        rows = read_rows(history.known, options, "file of what is known ahead")
        wanted = [name for name in (self.roles.time, *self.roles.series, *(one.name for one in columns)) if name]
        lacking = [name for name in wanted if name not in rows.frame.columns]
        if lacking:
            raise DataError(f"{rows.place(0)}: {', '.join(map(repr, lacking))}, known ahead, is missing")
        from lamina.data.series.known import values_at

        return values_at(rows, panel.names, due_SH, self.roles, self.frequency, columns, options)

    # ------------------------------------------------------------------ results

    def undo(self, value: Tensor) -> dict[str, list[float]]:
        """The targets of a window (T, C) in their own units, by name; of several series by the first one's units."""
        mean, std = (torch.tensor(of[0]) for of in (self.means, self.stds))
        own = value.detach().float().cpu()[:, : self.channels]
        own = own * std + mean if self.standardised else own
        return {name: own[:, k].tolist() for k, name in enumerate(self.roles.targets)}

    def due(self, stamp: int) -> list[str]:
        """The times of the steps after a stamp, as text."""
        return [stamp_text(int(one), self.frequency.dated) for one in self.frequency.after(stamp, self.horizon)]

    def forecast_rows(self, prediction: Mapping[str, Tensor], levels: tuple[int, ...]) -> list[dict[str, Any]]:
        """A row for each step that is due: series, time, a value for each target, the ends of its intervals.

        ``prediction`` has "forecast" (H, C), "lower" and "upper" (I, H, C) for ``levels``, "stamp" and "name".
        """
        name = spelled_name(prediction["name"])
        first = {} if name == ONLY else {" / ".join(self.roles.series) or "series": name}
        rows = []
        for h, time in enumerate(self.due(int(prediction["stamp"]))):
            row: dict[str, Any] = {**first, self.roles.time or "step": time}
            for c, target in enumerate(self.roles.targets):
                row[target] = float(prediction["forecast"][h, c])
                for i, level in enumerate(levels):
                    row[f"{target}_lower_{level}"] = float(prediction["lower"][i, h, c])
                    row[f"{target}_upper_{level}"] = float(prediction["upper"][i, h, c])
                for n, path in enumerate(prediction.get("paths", ()), 1):
                    row[f"{target}_sample_{n}"] = float(path[h, c])
            rows.append(row)
        return rows

    def reading_options(self, options: DataOptions | None = None) -> DataOptions:
        """The options for reading a table as the run read its own."""
        reading = dict(self.reading)
        notations = dict.fromkeys(self.roles.targets, (".", ""))
        notations |= {name: tuple(marks) for name, marks in reading.pop("notations", {}).items()}
        options = DataOptions(**reading) if options is None else options
        own: dict[str, Any] = {
            "time": self.roles.time, "series": self.roles.series, "target": self.roles.targets,
            "known": self.roles.known, "static": self.roles.static, "past": tuple(one.name for one in self.past),
            "frequency": self.frequency.name if self.reading.get("frequency") else None, "season": self.season,
            "horizon": self.horizon, "group": None, "rows": (), "task": self.target.task,
        }  # fmt: skip
        texts = (*self.roles.series, *(one.name for one in (*self.known, *self.past) if one.categories))
        columns = Known(texts=texts, notations=notations)
        return replace(EvaluationOptions.of(replace(options, **own), self.target.task), columns=columns)

    # ------------------------------------------------------------------ files

    def files(self) -> dict[str, dict[str, Any]]:
        return {"preprocess.json": self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``load_preprocess`` reads it."""
        plain = {name: getattr(self, name) for name in ("season", "context", "horizon", "per_series", "standardised")}
        lists = {name: list(getattr(self, name)) for name in ("names", "parts", "lowest", "notes")}
        nested = {
            name: [[None if np.isnan(one) else one for one in row] for row in getattr(self, name)]
            for name in ("means", "stds", "scales")
        }
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.to_dict(),
            "roles": self.roles.to_dict(),
            "frequency": self.frequency.to_dict(),
            "known": [one.to_dict() for one in self.known],
            "past": [one.to_dict() for one in self.past],
            "reading": dict(self.reading),
            **plain,
            **lists,
            **nested,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SeriesPreprocess:
        nested: dict[str, Any] = {
            name: tuple(tuple(np.nan if one is None else one for one in row) for row in data[name])
            for name in ("means", "stds", "scales")
        }
        lists: dict[str, Any] = {name: tuple(data[name]) for name in ("names", "parts", "lowest", "notes")}
        return cls(
            target=TargetCode.from_dict(data["target"]),
            roles=Roles.from_dict(data["roles"]),
            frequency=frequency_of(data["frequency"]),
            known=tuple(InputColumn.from_dict(one) for one in data["known"]),
            past=tuple(InputColumn.from_dict(one) for one in data["past"]),
            reading=data["reading"],
            **{name: data[name] for name in ("season", "context", "horizon", "per_series", "standardised")},
            **lists,
            **nested,
        )


def moments(values_RC: Array) -> tuple[Array, Array]:
    """Mean and population standard deviation (C,) of what is observed; 0 and 1 without any, 1 of constants."""
    observed = ~np.isnan(values_RC)
    count = np.maximum(observed.sum(0), 1)
    mean = np.where(observed, values_RC, 0.0).sum(0) / count
    std = np.sqrt(np.where(observed, (values_RC - mean) ** 2, 0.0).sum(0) / count)
    return mean, np.where(std > 0, std, 1.0)


def spelled(name: str) -> Tensor:
    """A name as numbers, so that it can be in a batch."""
    codes = [ord(letter) for letter in name[:NAME_LENGTH]]
    return torch.tensor(codes + [0] * (NAME_LENGTH - len(codes)), dtype=torch.int64)


def spelled_name(codes: Tensor) -> str:
    """The name that ``spelled`` gave as numbers."""
    return "".join(chr(code) for code in codes.tolist() if code)
