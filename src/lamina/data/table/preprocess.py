"""Preprocessing of table rows: numbers and parts of dates standardised, categories one-hot."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch

from lamina.data.options import DataOptions, EvaluationOptions, Known
from lamina.data.protocols import BatchOptions, Input, Signature
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, InMemory, Stream, in_order, shuffled
from lamina.data.table.dates import Date
from lamina.data.table.items import array_columns, rows_item
from lamina.data.table.samples import Table
from lamina.data.table.unseen import unseen
from lamina.data.tabular.cells import NO_NUMBERS, plain_number
from lamina.data.tabular.columns import FEW_CATEGORIES, MISSING, UNSEEN, category_indices
from lamina.data.tabular.reading import as_numbers, decimal_marks
from lamina.data.targets.code import TargetCode, fit_targets
from lamina.errors import DataError, DataWarning, nearest

if TYPE_CHECKING:
    import pandas as pd

MOST_FEATURES = 20_000

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Number:
    """A numeric column: (value - mean) / std; missing values become the training median."""

    name: str
    median: float
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class Category:
    """A categorical column: one-hot over the sorted training categories; unseen categories are all zeros."""

    name: str
    categories: tuple[str, ...]
    missing: bool
    """whether there is a last category for missing values, as training rows have some"""


def feature_names_of(column: Number | Category | Date) -> tuple[str, ...]:
    """The names of a column's features."""
    if isinstance(column, Number):
        return (column.name,)
    if isinstance(column, Date):
        return tuple(column.feature_names)
    missing = (f"{column.name} missing",) if column.missing else ()
    return (*(f"{column.name}={category}" for category in column.categories), *missing)


KINDS: dict[type[Number | Category | Date], str] = {Number: "numeric", Category: "categorical", Date: "date"}


@dataclass(frozen=True, kw_only=True)
class TablePreprocess:
    """All processing of a row before the model; fitted on train, saved with the run.

    Example: ``fit_preprocess(open_source("iris")).encode_input({"sepal length (cm)": 5.1, ...})``
    """

    kind: ClassVar[str] = "table"
    input_key: ClassVar[str] = "features"

    target: TargetCode
    columns: tuple[Number | Category | Date, ...]
    missing: tuple[str, ...] = ()
    """texts that mean a missing value"""
    reading: Mapping[str, Any] | None = None
    """options that a table is read with, and under "notations" the decimal and thousands mark of columns; None in runs
    of versions without"""
    notes: tuple[str, ...] = ()
    """notes for the user on excluded columns"""
    width: int | None = None
    """the columns of the arrays that it was fitted on, excluded ones among them; None for a table with named columns"""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each feature: the column, with the category for categorical columns."""
        return tuple(name for column in self.columns for name in feature_names_of(column))

    def model_options(self) -> dict[str, int]:
        """Model options determined by the data; those that the model has are set."""
        return {"in_features": len(self.feature_names), "num_classes": self.target.outputs}

    def signature(self) -> Signature:
        bounds = None if not all(isinstance(column, Category) for column in self.columns) else (0.0, 1.0)
        return (Input(self.input_key, "float32", (len(self.feature_names),), bounds=bounds),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """One tensor, by position."""
        return (batch[self.input_key],), {}

    def bytes_of(self, split: Split) -> int:
        """Bytes of memory of a split, which is always held."""
        return 4 * len(split) * len(self.feature_names)

    def encode(self, split: Split, hold: bool = True) -> InMemory:
        """A split as {"features": (N, F) float32, "target"}; always held in memory.

        Raises DataError for missing columns.
        """
        table = cast(Table, split)
        features = self._features(table.frame, "the table")
        return InMemory({"features": torch.from_numpy(features), **self.target.encoded(table)})

    def prepare(self, batch: Batch) -> Batch:
        """The batch unchanged."""
        return batch

    def encode_input(self, item: object) -> Batch:
        """Rows to predict, {"features": (N, F)}: a dictionary (one row), a list of these, a data frame, the path of a
        table; for a model trained on arrays an array or tensor (F,) or (N, F).

        Columns excluded in training may be missing, but not from an array. Raises DataError for other missing columns
        and for text in a numeric column (with row and column), UsageError for a missing file and other types.
        """
        columns = [column.name for column in self.columns]
        frame, name = rows_item(item, self.reading_options(), columns, self.width)
        for remark in self.unseen(frame):
            warnings.warn(f"{name}: {remark}", DataWarning, stacklevel=2)
        return {"features": torch.from_numpy(self._features(frame, name))}

    def unseen(self, frame: pd.DataFrame) -> list[str]:
        """What there is in columns of categories that the training data had not."""
        known = {column.name: column.categories for column in self.columns if isinstance(column, Category)}
        return unseen(frame, known, self.missing, self._absent)

    def reading_options(self, options: DataOptions | None = None) -> DataOptions:
        """The options for reading a table as the run read its own: those given, or those that the run keeps, with what
        it knows of the columns and the targets."""
        reading = dict(self.reading or {})
        notations = {column.name: (".", "") for column in self.columns if isinstance(column, Number)}
        notations |= {name: tuple(marks) for name, marks in reading.pop("notations", {}).items()}
        texts = [column.name for column in self.columns if not isinstance(column, Number)]
        if self.target.exclusive and any(plain_number(name) is None for name in self.target.classes):
            texts += self.target.names
        options = DataOptions(missing=self.missing, **reading) if options is None else options
        columns = Known(texts=tuple(texts), notations=notations)
        return replace(EvaluationOptions.of(options, options.task), columns=columns)

    def input_batches(self, item: object) -> Iterator[Batch]:
        """``encode_input`` as a single batch. Raises UsageError or DataError."""
        yield self.encode_input(item)

    def undo(self, value: torch.Tensor) -> dict[str, float | str | None]:
        """A row by column from features (F,), encoded or output by a model: numbers in their own units, the category
        with the largest feature; None for missing and unseen categories."""
        row: dict[str, float | str | None] = {}
        values, start = value.detach().float().cpu().numpy(), 0
        for column in self.columns:
            if isinstance(column, Number):
                row[column.name] = float(values[start] * column.std + column.mean)
                start += 1
                continue
            if isinstance(column, Date):
                row |= column.undo(values[start : start + len(column.parts)])
                start += len(column.parts)
                continue
            names: list[str | None] = [*column.categories, *([None] if column.missing else [])]
            part = values[start : start + len(names)]
            row[column.name] = names[int(part.argmax())] if part.any() else None
            start += len(names)
        return row

    def attributed(self, values: torch.Tensor) -> dict[str, float]:
        """Values of a sample's features (F,) by column, those of one column added up."""
        found: dict[str, float] = {}
        start, numbers = 0, values.tolist()
        for column in self.columns:
            width = len(feature_names_of(column))
            found[column.name] = sum(numbers[start : start + width])
            start += width
        return found

    def training_stream(self, samples: InMemory, options: BatchOptions) -> Stream:
        """Shuffled training batches."""
        return shuffled(samples, options.recipe, options.place, self.prepare, whole=options.whole)

    def evaluation_batches(self, samples: InMemory, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every row once, in order."""
        return in_order(samples, options.recipe, options.place, self.prepare, workers)

    def files(self) -> dict[str, dict[str, Any]]:
        return {"preprocess.json": self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``load_preprocess`` reads it."""
        columns = [
            {"kind": KINDS[type(column)]} | {field.name: getattr(column, field.name) for field in fields(column)}
            for column in self.columns
        ]
        columns = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in column.items()}
            for column in columns
        ]
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.to_dict(),
            "columns": columns,
            "missing": list(self.missing),
            "reading": None if self.reading is None else dict(self.reading),
            "notes": list(self.notes),
            "width": self.width,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TablePreprocess:
        classes: dict[str, Any] = {kind: cls for cls, kind in KINDS.items()}
        columns: list[Number | Category | Date] = []
        for entry in data["columns"]:
            values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
            columns.append(classes[str(values.pop("kind"))](**values))
        target = TargetCode.from_dict(data["target"])
        return cls(
            target=target,
            columns=tuple(columns),
            missing=tuple(data["missing"]),
            reading=data.get("reading"),
            notes=tuple(data["notes"]),
            width=data.get("width"),  # runs of the first versions have none
        )

    @property
    def _absent(self) -> frozenset[str]:
        """Further words for a missing value in columns of categories: once those in every column."""
        return NO_NUMBERS if self.reading is None else frozenset()

    def _features(self, frame: pd.DataFrame, name: str) -> Array:
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            near = nearest(absent[0], [str(column) for column in frame.columns])
            hint = f" (there is '{near}')" if near else ""
            raise DataError(f"{name} lacks {len(absent)} of the training columns: {', '.join(absent)}{hint}")

        def place(row: int) -> str:
            return f"{name}, row {row + 1}"

        options = self.reading_options()
        numeric = [column.name for column in self.columns if isinstance(column, Number)]

        def others() -> set[str]:
            return decimal_marks(frame[numeric], options)

        out = np.zeros((len(frame), len(self.feature_names)), dtype=np.float32)
        start = 0
        for column in self.columns:
            series = frame[column.name]
            if isinstance(column, Number):
                numbers = as_numbers(series, place, options, others)
                numbers = np.where(np.isnan(numbers), column.median, numbers)
                out[:, start] = (numbers - column.mean) / column.std
                start += 1
                continue
            if isinstance(column, Date):
                out[:, start : start + len(column.parts)] = column.features(series, place, self.missing)
                start += len(column.parts)
                continue
            found = category_indices(series, column.categories, self.missing, self._absent)
            found[found == MISSING] = len(column.categories) if column.missing else UNSEEN
            rows = np.flatnonzero(found >= 0)
            out[rows, start + found[rows]] = 1.0
            start += len(column.categories) + column.missing
        return out


def fit_table(source: Source) -> TablePreprocess:
    """The preprocess of a table; see ``modality.fit_preprocess``."""
    frame = cast(Table, source.splits["train"]).frame
    columns: list[Number | Category | Date] = []
    notes: list[str] = []
    for column in source.spec.columns:
        order = source.spec.date_orders.get(column.name, "")
        if column.kind == "index" or order == "unclear":
            continue
        series = frame[column.name]
        if column.kind == "date":
            if (date := Date.fit(series, order)) is not None:
                columns.append(date)
            else:
                notes.append(f"column '{column.name}' has one date only in the training data: left out")
            continue
        present = series.dropna()
        if column.kind == "numeric":
            values = series.fillna(present.median()).to_numpy(dtype=np.float64)
            if not len(present) or (values == values[0]).all():
                notes.append(f"column '{column.name}' has one value only in the training data: left out")
                continue
            mean, std, median = float(values.mean()), float(values.std()), float(present.median())
            if not np.isfinite((values - mean) / std).all():
                raise DataError(f"{source.spec.name}: numbers of column '{column.name}' are too large to standardise")
            columns.append(Number(name=column.name, median=median, mean=mean, std=std))
            continue
        found, missing = tuple(sorted(set(present.tolist()))), len(present) < len(series)
        if len(found) + missing < 2:
            notes.append(f"column '{column.name}' has one value only in the training data: left out")
        elif len(found) > max(FEW_CATEGORIES, len(series) / 2):
            notes.append(f"column '{column.name}' has {len(found)} texts in {len(series)} rows, like a name: left out")
        else:
            columns.append(Category(name=column.name, categories=found, missing=missing))
    spec = source.spec
    fitted = TablePreprocess(
        target=fit_targets(source),
        columns=tuple(columns),
        missing=spec.missing,
        reading=spec.reading,
        notes=tuple(notes),
        width=array_columns([column.name for column in spec.columns]),
    )
    count = len(fitted.feature_names)
    if not 0 < count <= MOST_FEATURES:
        reason = "no column has usable values" if not count else f"{count} features, more than {MOST_FEATURES}"
        raise DataError(f"{source.spec.name}: {reason}" + (f" ({notes[0]})" if notes and not count else ""))
    return fitted
