"""A source of table rows, and the step every table takes: split files joined, targets found and taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lamina.data.columns import Place, typed
from lamina.data.fingerprints import of_frame
from lamina.data.frames import read_frame
from lamina.data.image_tables import image_column, image_table_source, label_columns
from lamina.data.options import DataOptions
from lamina.data.source import Source, Table
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import complete
from lamina.data.targets import Labels, encode_targets, target_columns
from lamina.data.text_sources import texts_source
from lamina.data.text_tables import text_column
from lamina.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """The rows of all splits, one after the other."""

    frame: pd.DataFrame
    sizes: Mapping[str, int]
    place: Place


def open_table(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A table, or one file for each split, as a source: of rows, or of images where a column names image files.

    A missing target is a DataError naming its row; with ``skip_bad`` the row is dropped, and the count is in
    ``spec.skipped``. Raises UsageError for columns that are not there.
    """
    rows = _read(paths, options)
    pictures = image_column(rows.frame, rows.place, next(iter(paths.values())).parent)
    columns = [str(column) for column in rows.frame.columns]
    if pictures is None:
        targets = target_columns(columns, options, name)
    else:
        targets = label_columns(rows.frame, pictures, options, name)
    rows, skipped, whole = _with_targets(rows, targets, options)
    labels = encode_targets(whole, options, rows.place)
    inputs = rows.frame.drop(columns=list(targets))
    if pictures is not None:
        root = next(iter(paths.values())).parent
        source = image_table_source(name, root, inputs[pictures], rows.sizes, labels, rows.place, options)
    elif (column := text_column(inputs, [str(one) for one in inputs.columns], options)) is not None:
        source = texts_source(name, inputs[column].tolist(), rows.sizes, labels, options)
    else:
        source = table_source(name, inputs, rows.sizes, labels, rows.place, options)
    return _noting(source, skipped)


def table_source(
    name: str,
    inputs: pd.DataFrame,
    sizes: Mapping[str, int],
    labels: Labels,
    place: Place,
    options: DataOptions,
    licence: str = "",
) -> Source:
    """A source of rows whose input columns are typed: numbers, or texts that are categories."""
    import pandas as pd

    if not len(inputs.columns):
        raise DataError(f"{name} has no column beside the target")
    _known(options.categorical, [*inputs.columns, *labels.names])
    columns = {
        str(column): typed(inputs[column], place, categorical=column in options.categorical)
        for column in inputs.columns
    }
    frame = pd.DataFrame({column: found.values for column, found in columns.items()})
    spec = DataSpec(
        name=name,
        kind="table",
        task=labels.task,
        classes=labels.classes,
        targets=labels.names,
        columns=tuple(Column(name=column, kind=found.kind) for column, found in columns.items()),
        missing=options.missing,
        fingerprint=of_frame(frame, labels.values),
        licence=licence,
    )
    splits, start = {}, 0
    for split, count in sizes.items():
        part = frame.iloc[start : start + count].reset_index(drop=True)
        splits[split] = Table(part, labels.values[start : start + count])
        start += count
    return complete(spec, splits, options)


def _read(paths: Mapping[str, Path], options: DataOptions) -> Rows:
    import pandas as pd

    frames = {split: read_frame(path, options.missing) for split, path in paths.items()}
    columns = list(frames["train"].columns)
    _known(options.drop, columns)
    for split, frame in frames.items():
        for column in columns:
            if column not in frame.columns and column not in options.drop:
                raise DataError(f"'{paths[split]}' has no column '{column}', '{paths['train']}' has")
    kept = [column for column in columns if column not in options.drop]
    sizes = {split: len(frame) for split, frame in frames.items()}
    frame = pd.concat([frame[[*kept]] for frame in frames.values()], ignore_index=True)
    names = np.repeat([path.name for path in paths.values()], list(sizes.values()))
    numbers = np.concatenate([np.arange(1, count + 1) for count in sizes.values()])
    return Rows(frame, sizes, lambda row: f"{names[row]}, row {numbers[row]}")


def _with_targets(
    rows: Rows, targets: tuple[str, ...], options: DataOptions
) -> tuple[Rows, tuple[str, ...], pd.DataFrame]:
    """Rows whose targets are there, what was left out, and the target columns."""
    chosen = rows.frame[list(targets)]
    gone = chosen.isna()
    bad = gone.any(axis=1).to_numpy()
    if not bad.any():
        return rows, (), chosen
    if not options.skip_bad:
        row = int(bad.argmax())
        column = targets[int(gone.iloc[row].to_numpy().argmax())]
        raise DataError(f"{rows.place(row)}: the target '{column}' is missing ({int(bad.sum())} rows in all)")
    if bad.all():
        raise DataError(f"{rows.place(0)}: the target '{targets[0]}' is missing, as in every row")
    kept = np.flatnonzero(~bad)
    ends = np.cumsum(list(rows.sizes.values()))
    counts = np.bincount(np.searchsorted(ends, kept, side="right"), minlength=len(ends))
    frame = rows.frame.iloc[kept].reset_index(drop=True)
    for name in targets:  # an empty cell had turned whole numbers into floating point ones
        numbers = frame[name]
        if numbers.dtype == np.float64 and bool((numbers % 1 == 0).all()):
            frame[name] = numbers.astype(np.int64)
    sizes = {split: int(count) for split, count in zip(rows.sizes, counts, strict=True) if count}
    place = rows.place
    skipped = (f"{int(bad.sum())} rows without a target",)
    return Rows(frame, sizes, lambda row: place(int(kept[row]))), skipped, frame[list(targets)]


def _noting(source: Source, skipped: tuple[str, ...]) -> Source:
    if not skipped:
        return source
    return replace(source, spec=replace(source.spec, skipped=skipped + source.spec.skipped))


def _known(names: tuple[str, ...], columns: list[str]) -> None:
    for name in names:
        if name not in columns:
            raise unknown("column", name, columns)
