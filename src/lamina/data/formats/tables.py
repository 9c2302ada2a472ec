"""Table files as sources of rows, image files, texts or pairs; split files joined, targets separated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lamina.data.formats.numbered import expect_all
from lamina.data.image.tables import image_column, image_root, image_table_source, label_columns
from lamina.data.options import DataOptions
from lamina.data.series.source import rows_options, series_source, wants_series
from lamina.data.source import Source
from lamina.data.table.source import table_source
from lamina.data.tabular.frames import expect_memory, read_frame
from lamina.data.tabular.roles import without_row_numbers
from lamina.data.tabular.rows import Rows, joined_rows, read_rows, with_targets
from lamina.data.tabular.stored import class_columns, stored_columns
from lamina.data.targets.labels import CLASSES, encode_targets, target_columns, unlabelled
from lamina.data.text.parallel import open_tabbed
from lamina.data.text.sources import texts_source
from lamina.data.text.tables import (
    looks_paired,
    looks_tabbed,
    open_pair_table,
    running_column,
    running_table,
    text_column,
    without_empty,
    without_header,
)
from lamina.errors import DataError


def open_table(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A table, or one file for each split, as a source of rows, of images (a column names image files) or of texts.

    It is a source of texts if the only column besides the target is free text, or ``text`` names one; a single text
    column is running text; two columns of free text, or those of two languages, are pairs. Samples have no targets
    without a target column. A missing target or text raises DataError with its row; with ``skip_bad`` the row is
    dropped and counted in ``spec.skipped``. Raises UsageError for unknown columns.

    Example: ``open_table("houses.csv", {"train": Path("houses.csv")}, DataOptions(target="price"))``
    """
    if wants_series(options):
        return rows_source(name, series_rows(paths, options), Path(), options, lambda column: read_rows(paths, options))
    if options.task == "translation" or options.languages:
        opened = open_tabbed if without_header(paths, options) else open_pair_table
        return opened(name, paths, options)
    rows = read_rows(paths, options, () if options.text is None else (options.text,))
    if looks_tabbed(rows.frame, paths, options):
        return open_tabbed(name, paths, options)
    if looks_paired(rows.frame, options):
        return open_pair_table(name, paths, options)
    root = image_root(paths["train"], options)
    return rows_source(name, rows, root, options, lambda column: _as_read(rows, column, paths, options))


def open_parts(name: str, parts: Mapping[str, Sequence[Path]], options: DataOptions) -> Source:
    """A table in numbered parts, in order, as ``open_table`` reads one file. Raises DataError for a part that is
    missing, cannot be read or has other columns than the first."""
    import pandas as pd

    every = [path for of_split in parts.values() for path in of_split]
    expect_all(every, options)
    expect_memory(every)
    frames: dict[str, pd.DataFrame] = {}
    first = parts["train"][0]
    columns: list[str] = []
    notes: tuple[str, ...] = ()
    for split, paths in parts.items():
        read = []
        for path in paths:
            frame, noted = read_frame(path, options)
            read.append(frame)
            notes = notes or noted
            columns = columns or list(frame.columns)
            if list(frame.columns) != columns:
                other = next(iter(sorted(set(columns) ^ set(frame.columns))), "their order")
                raise DataError(f"'{path}' has other columns than '{first.name}': {other}")
        frames[split] = pd.concat(read, ignore_index=True)
    names = {split: paths[0].name if len(paths) == 1 else f"{paths[0].name}, ..." for split, paths in parts.items()}
    root = image_root(first, options)

    def as_read(column: str | None) -> Rows:
        rows = joined_rows(frames, names, options, () if column is None else (column,))
        return replace(rows, notes=(*notes, *rows.notes))

    return rows_source(name, as_read(options.text), root, options, as_read)


def rows_source(name: str, rows: Rows, root: Path, options: DataOptions, as_read: Callable[[str], Rows]) -> Source:
    """Rows as a source: see ``open_table``. Image files are relative to ``root``; ``as_read`` gives the rows with the
    column of texts as it was written."""
    options = rows.options or options
    if wants_series(options):
        source = series_source(name, rows.frame, rows.sizes, rows.place, options, rows.notes)
        return replace(source, spec=replace(source.spec, reading=rows.reading))
    image_paths = image_column(rows.frame, rows.place, root, options, lambda column: as_read(column).frame[column])
    frame = without_row_numbers(rows.frame, options, image_paths)
    columns = [str(column) for column in frame.columns]
    if image_paths is not None:
        rows = as_read(image_paths)  # 0012 is a name, not a number
        others = [column for column in stored_columns(rows.frame) if column != image_paths]
        columns = [column for column in columns if column not in others]
        more = (f"the images in {', '.join(map(repr, others))} are left out: those in '{image_paths}' are used",)
        rows = replace(rows, notes=(*rows.notes, *more)) if others else rows
        targets = label_columns(rows.frame[columns], image_paths, options, name)
    elif (running := running_column(frame, options)) is not None:
        return running_table(name, as_read(running), running, options)
    else:
        targets = target_columns(columns, options, name)
    hint = "; ".join(filter(None, (targets, rows.hint))) if isinstance(targets, str) else ""
    targets = () if isinstance(targets, str) else targets
    skipped: tuple[str, ...] = ()
    inputs = [str(column) for column in rows.frame.columns if column not in targets]
    texts = text_column(rows.frame, inputs, options) if image_paths is None else None
    if texts is not None:
        rows, skipped = without_empty(as_read(texts), texts, options)
    if targets:
        rows, without_target, whole = with_targets(rows, targets, options)
        skipped += without_target
        classes = () if image_paths not in stored_columns(rows.frame) else class_columns(rows.frame, str(image_paths))
        named = options.task == "auto" and len(targets) == 1 and targets[0] in classes
        labels = encode_targets(whole, replace(options, task=CLASSES) if named else options, rows.place)
    else:
        labels = unlabelled(hint)
    labels = replace(labels, notes=rows.notes, groups=rows.groups)
    if image_paths is not None:
        source = image_table_source(name, root, rows.frame[image_paths], rows.sizes, labels, rows.place, options)
    elif texts is not None:
        source = texts_source(name, rows.frame[texts].map(str).tolist(), rows.sizes, labels, options)
    else:
        source = table_source(name, rows.frame[inputs], rows.sizes, labels, rows.place, options)
    spec = source.spec
    spec = replace(spec, skipped=skipped + spec.skipped, reading=rows.reading)
    return replace(source, spec=spec)


def series_rows(paths: Mapping[str, Path], options: DataOptions) -> Rows:
    """The rows of a table of series: names of series are texts as they stand, and no column holds groups of rows."""
    rows = read_rows(paths, rows_options(options), options.series)
    return replace(rows, options=replace(rows.options or options, group=options.group))


def _as_read(rows: Rows, texts: str, paths: Mapping[str, Path], options: DataOptions) -> Rows:
    """The rows with a column as it is written: an empty cell is an empty text, and 0012 a name."""
    from pandas.api.types import is_numeric_dtype

    written = not is_numeric_dtype(rows.frame[texts].dtype) and not rows.frame[texts].isna().any()
    return rows if written else read_rows(paths, options, (texts,))
