"""A source of table rows, and the step every table takes: split files joined, targets found and taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.data.fingerprints import of_frame
from lamina.data.image.tables import image_column, image_table_source, label_columns
from lamina.data.options import DataOptions
from lamina.data.source import Source, Table
from lamina.data.spec import Column, DataSpec
from lamina.data.splits import complete
from lamina.data.tabular.columns import Place, typed
from lamina.data.tabular.rows import Rows, known_columns, read_rows, with_targets
from lamina.data.tabular.targets import Labels, encode_targets, target_columns
from lamina.data.text.parallel import open_tabbed
from lamina.data.text.sources import texts_source
from lamina.data.text.tables import (
    looks_tabbed,
    open_pair_table,
    running_column,
    running_table,
    text_column,
    without_empty,
    without_header,
)
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def open_table(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A table, or one file for each split, as a source: of rows, of images where a column names image files, of texts.

    Texts they are where the only column beside the target is free text, or one is named as such; a column of text alone
    is running text; columns of two languages are pairs. A missing target or text is a DataError naming its row; with
    ``skip_bad`` the row is dropped, and the count is in ``spec.skipped``. Raises UsageError for columns that are not
    there.
    """
    if options.task == "translation" or options.languages:
        opened = open_tabbed if without_header(paths, options) else open_pair_table
        return opened(name, paths, options)
    rows = read_rows(paths, options, () if options.text is None else (options.text,))
    root = next(iter(paths.values())).parent
    pictures = image_column(rows.frame, rows.place, root)
    columns = [str(column) for column in rows.frame.columns]
    if pictures is not None:
        targets = label_columns(rows.frame, pictures, options, name)
    elif (running := running_column(rows.frame, options)) is not None:
        return running_table(name, _as_read(rows, running, paths, options).frame[running], rows.sizes, options)
    elif looks_tabbed(rows.frame, paths, options):
        return open_tabbed(name, paths, options)
    else:
        targets = target_columns(columns, options, name)
    skipped: tuple[str, ...] = ()
    inputs = [column for column in columns if column not in targets]
    texts = text_column(rows.frame, inputs, options) if pictures is None else None
    if texts is not None:
        rows, skipped = without_empty(_as_read(rows, texts, paths, options), texts, options)
    rows, unlabelled, whole = with_targets(rows, targets, options)
    labels = encode_targets(whole, options, rows.place)
    if pictures is not None:
        source = image_table_source(name, root, rows.frame[pictures], rows.sizes, labels, rows.place, options)
    elif texts is not None:
        source = texts_source(name, rows.frame[texts].map(str).tolist(), rows.sizes, labels, options)
    else:
        source = table_source(name, rows.frame[inputs], rows.sizes, labels, rows.place, options)
    return _noting(source, skipped + unlabelled)


def _as_read(rows: Rows, texts: str, paths: Mapping[str, Path], options: DataOptions) -> Rows:
    """The rows with a column of texts as it stands in the files: a text may be a word that means a missing value."""
    return read_rows(paths, options, (texts,)) if rows.frame[texts].isna().any() else rows


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
    known_columns(options.categorical, [*inputs.columns, *labels.names])
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


def _noting(source: Source, skipped: tuple[str, ...]) -> Source:
    if not skipped:
        return source
    return replace(source, spec=replace(source.spec, skipped=skipped + source.spec.skipped))
