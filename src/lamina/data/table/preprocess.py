"""Table rows on their way to a model: numbers standardised, categories one-hot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch

from lamina.data.protocols import BatchOptions, Input, Signature
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, InMemory, Stream, in_order, shuffled
from lamina.data.table.samples import Table
from lamina.data.tabular.columns import FEW_CATEGORIES, Place, shown, typed
from lamina.data.tabular.frames import is_table, read_frame
from lamina.data.targets.code import TargetCode, fit_targets
from lamina.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

MOST_FEATURES = 20_000

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Number:
    """A numeric column: (value - mean) / std, the training median where missing."""

    name: str
    median: float
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class Category:
    """A categorical column: one feature for each training category, in sorted order; an unseen one sets none."""

    name: str
    categories: tuple[str, ...]
    missing: bool
    """whether a missing value is a category of its own, the last: it is where training rows miss it"""


@dataclass(frozen=True, kw_only=True)
class TablePreprocess:
    """Everything done to a row before the model; fitted on train, saved in the run."""

    kind: ClassVar[str] = "table"
    input_key: ClassVar[str] = "features"

    target: TargetCode
    columns: tuple[Number | Category, ...]
    missing: tuple[str, ...] = ()
    """texts that mean a missing value"""
    notes: tuple[str, ...] = ()
    """what was left out, and why: for the user to read"""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name for each feature: the column, and the category where there are several to a column."""
        names: list[str] = []
        for column in self.columns:
            if isinstance(column, Number):
                names.append(column.name)
            else:
                names += [f"{column.name}={category}" for category in column.categories]
                names += [f"{column.name} missing"] if column.missing else []
        return tuple(names)

    def model_options(self) -> dict[str, int]:
        """What the data decide of a model: the options it has among these are to be set."""
        return {"in_features": len(self.feature_names), "num_classes": self.target.outputs}

    def signature(self) -> Signature:
        return (Input(self.input_key, "float32", (len(self.feature_names),)),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """One tensor, by position."""
        return (batch[self.input_key],), {}

    def bytes_of(self, split: Split) -> int:
        """Memory that a split takes: it is always held."""
        return 4 * len(split) * len(self.feature_names)

    def encode(self, split: Split, hold: bool = True) -> InMemory:
        """A split as {"features": (N, F) float32, "target"}; always held, as the table itself is.

        Raises DataError for columns that are not there, in a table other than the one trained on.
        """
        table = cast(Table, split)
        features = self._features(table.frame, "the table")
        return InMemory({"features": torch.from_numpy(features), **self.target.encoded(table)})

    def prepare(self, batch: Batch) -> Batch:
        """Rows are ready as they are."""
        return batch

    def encode_input(self, item: object) -> Batch:
        """Rows to predict, {"features": (N, F)}: a dictionary (one row), a DataFrame, or the path of a table.

        Columns that training left out may be missing. Raises DataError naming the columns that are not there, or the
        row and column of a text where numbers were; UsageError for a path that is not there and for anything else.
        """
        import pandas as pd

        name = "the row"
        if isinstance(item, Mapping):
            frame = pd.DataFrame([dict(item)])
        elif isinstance(item, pd.DataFrame):
            frame, name = item.reset_index(drop=True), "the data frame"
        elif isinstance(item, str | Path):
            path = Path(item).expanduser()
            if not path.is_file():
                raise UsageError(f"no such file: {item}")
            if not is_table(path):
                raise UsageError(f"'{item}' is no table (CSV, TSV, Parquet or JSON lines)")
            frame, name = read_frame(path, self.missing), path.name
        else:
            raise UsageError(
                f"rows come as a dictionary, a DataFrame or the path of a table, not {type(item).__name__}"
            )
        if self.missing:
            frame = frame.mask(frame.isin(list(self.missing)))
        return {"features": torch.from_numpy(self._features(frame, name))}

    def input_batches(self, item: object) -> Iterator[Batch]:
        """The same, ready for the model. Raises UsageError or DataError."""
        yield self.encode_input(item)

    def undo(self, value: torch.Tensor) -> dict[str, float | str | None]:
        """A row by column from features (F,), of a model or as they were encoded: numbers in their own units, of each
        category the one with the largest feature; None for a missing one, and for one that training did not see."""
        row: dict[str, float | str | None] = {}
        values, start = value.detach().float().cpu().numpy(), 0
        for column in self.columns:
            if isinstance(column, Number):
                row[column.name] = float(values[start] * column.std + column.mean)
                start += 1
                continue
            names: list[str | None] = [*column.categories, *([None] if column.missing else [])]
            part = values[start : start + len(names)]
            row[column.name] = names[int(part.argmax())] if part.any() else None
            start += len(names)
        return row

    def training_stream(self, samples: InMemory, options: BatchOptions) -> Stream:
        """Shuffled rows."""
        return shuffled(samples, options.recipe, options.place, self.prepare)

    def evaluation_batches(self, samples: InMemory, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every row once, in order."""
        return in_order(samples, options.recipe, options.place, self.prepare, workers)

    def files(self) -> dict[str, dict[str, Any]]:
        return {"preprocess.json": self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``load_preprocess`` reads it."""
        columns = [
            {"kind": "numeric" if isinstance(column, Number) else "categorical"}
            | {field.name: getattr(column, field.name) for field in fields(column)}
            for column in self.columns
        ]
        for column in columns:
            if "categories" in column:
                column["categories"] = list(column["categories"])
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.to_dict(),
            "columns": columns,
            "missing": list(self.missing),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TablePreprocess:
        columns: list[Number | Category] = []
        for entry in data["columns"]:
            values = {key: value for key, value in entry.items() if key != "kind"}
            if entry["kind"] == "numeric":
                columns.append(Number(**values))
            else:
                columns.append(Category(**{**values, "categories": tuple(values["categories"])}))
        target = TargetCode.from_dict(data["target"])
        return cls(target=target, columns=tuple(columns), missing=tuple(data["missing"]), notes=tuple(data["notes"]))

    def _features(self, frame: pd.DataFrame, name: str) -> Array:
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            near = nearest(absent[0], [str(column) for column in frame.columns])
            hint = f" (there is '{near}')" if near else ""
            raise DataError(f"{name} lacks {len(absent)} of the columns trained on: {', '.join(absent)}{hint}")

        def place(row: int) -> str:
            return f"{name}, row {row + 1}"

        out = np.zeros((len(frame), len(self.feature_names)), dtype=np.float32)
        start = 0
        for column in self.columns:
            series = frame[column.name]
            if isinstance(column, Number):
                out[:, start] = (_numbers(series, place, column.median) - column.mean) / column.std
                start += 1
                continue
            texts = typed(series, place, categorical=True).values
            index = {category: start + k for k, category in enumerate(column.categories)}
            start += len(index)
            if column.missing:
                index[None] = start  # type: ignore[index]
                start += 1
            for row, text in enumerate(texts.tolist()):
                if (place_of_one := index.get(text)) is not None:
                    out[row, place_of_one] = 1.0
        return out


def fit_table(source: Source) -> TablePreprocess:
    """The preprocess of a table: see ``modality.fit_preprocess``."""
    frame = cast(Table, source.splits["train"]).frame
    columns: list[Number | Category] = []
    notes: list[str] = []
    for column in source.spec.columns:
        series = frame[column.name]
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
    fitted = TablePreprocess(
        target=fit_targets(source), columns=tuple(columns), missing=source.spec.missing, notes=tuple(notes)
    )
    count = len(fitted.feature_names)
    if not 0 < count <= MOST_FEATURES:
        reason = "no column has anything to learn from" if not count else f"{count} features, more than {MOST_FEATURES}"
        raise DataError(f"{source.spec.name}: {reason}" + (f" ({notes[0]})" if notes and not count else ""))
    return fitted


def _numbers(series: pd.Series[Any], place: Place, median: float) -> Array:
    """A column that was numeric in training: no text is let pass here, however many there are."""
    import pandas as pd

    missing = series.isna().to_numpy()
    numbers = pd.to_numeric(series.astype(object).where(~missing, np.nan), errors="coerce").to_numpy(dtype=np.float64)
    wrong = (np.isnan(numbers) & ~missing) | np.isinf(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{place(row)}: column '{series.name}' holds {shown(series.iloc[row])}, a number was expected")
    return np.where(missing, median, numbers)
