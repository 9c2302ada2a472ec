"""Rows of a table: split files joined, rows dropped, targets separated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lamina.data.options import DataOptions
from lamina.data.spec import ORDER
from lamina.data.tabular.columns import Place, is_free_text
from lamina.data.tabular.frames import expect_memory, has_header, read_frame
from lamina.data.tabular.groups import Groups
from lamina.data.tabular.names import by_number, header_note, numbered
from lamina.data.tabular.reading import read_columns
from lamina.data.tabular.roles import split_column, splits_of, undivided_notes
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

READING = ("delimiter", "decimal", "thousands", "header", "encoding")
"""options of reading that prediction needs, too"""
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Rows:
    """The rows of all splits, concatenated."""

    frame: pd.DataFrame
    sizes: Mapping[str, int]
    place: Place
    options: DataOptions | None = None
    """the options with the names of columns that were given by number"""
    notes: tuple[str, ...] = ()
    """what the user should read about how they were read and divided"""
    hint: str = ""
    """what the user should try if the target is not found"""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """see ``DataSpec.reading``"""
    groups: Groups | None = None
    """the rows that belong together; None: each is alone"""

    def without(self, bad: Mask) -> Rows:
        """The rows without the marked ones; a split without any left is dropped."""
        kept = np.flatnonzero(~bad)
        ends = np.cumsum(list(self.sizes.values()))
        counts = np.bincount(np.searchsorted(ends, kept, side="right"), minlength=len(ends))
        sizes = {split: int(count) for split, count in zip(self.sizes, counts, strict=True) if count}
        return self.at(kept, sizes)

    def at(self, index: np.ndarray[Any, Any], sizes: Mapping[str, int]) -> Rows:
        """The rows at ``index`` as splits of these sizes."""
        frame = self.frame.iloc[index].reset_index(drop=True)
        groups = None if self.groups is None else self.groups.at(torch.from_numpy(index))
        return replace(self, frame=frame, sizes=sizes, place=lambda row: self.place(int(index[row])), groups=groups)


def read_rows(paths: Mapping[str, Path], options: DataOptions, texts: tuple[str, ...] = ()) -> Rows:
    """A table, or one for each split. Columns in ``texts`` are read as text only, so that 12 is an ordinary word.

    Every file has the columns of train, in any order; a single free-text column of another name is renamed. Raises
    DataError for a file that lacks a column, UsageError for an unknown column in ``drop``.
    """
    expect_memory([*paths.values()])
    read = {split: read_frame(path, options) for split, path in paths.items()}
    frames = {split: frame for split, (frame, _) in read.items()}
    notes = tuple(dict.fromkeys(note for _, of in read.values() for note in of))
    train = frames["train"]
    columns = [str(column) for column in train.columns]
    for split, frame in frames.items():
        absent = [column for column in columns if column not in frame.columns and column not in options.drop]
        more = [str(column) for column in frame.columns if column not in columns]
        if len(absent) == len(more) == 1 and is_free_text(train[absent[0]]) and is_free_text(frame[more[0]]):
            frames[split] = frame.rename(columns={more[0]: absent[0]})
    rows = joined_rows(frames, {split: path.name for split, path in paths.items()}, options, texts)
    hint = header_note(rows.frame) if options.header == "yes" and has_header(paths["train"]) else ""
    return replace(rows, notes=(*notes, *((hint,) if hint else ()), *rows.notes), hint=hint)


def joined_rows(
    frames: Mapping[str, pd.DataFrame], names: Mapping[str, str], options: DataOptions, texts: tuple[str, ...] = ()
) -> Rows:
    """The rows of a frame for each split, as in ``train`` but for the columns in ``drop``, their cells as values (see
    ``reading.read_columns``); ``names`` are those of the frames in messages.

    Raises DataError for a frame that lacks a column, UsageError for an unknown column in ``drop``.
    """
    import pandas as pd

    columns = [str(column) for column in frames["train"].columns]
    options = by_number(options, columns)
    texts = numbered(texts, columns)
    known_columns(options.drop, columns)
    kept = [column for column in columns if column not in options.drop]
    for split, frame in frames.items():
        for column in kept:
            if column not in frame.columns:
                raise DataError(f"'{names[split]}' lacks the column '{column}' of '{names['train']}'")
    sizes = {split: len(frame) for split, frame in frames.items()}
    joined = pd.concat([frame[[*kept]] for frame in frames.values()], ignore_index=True)
    files = np.repeat([names[split] for split in frames], list(sizes.values()))
    numbers = np.concatenate([np.arange(1, count + 1) for count in sizes.values()])

    def place(row: int) -> str:
        return f"{files[row]}, row {numbers[row]}"

    values, notes, notations = read_columns(joined, place, options, texts)
    reading = {name: value for name in READING if (value := getattr(options, name)) not in ("auto", "yes")}
    if notations:
        reading["notations"] = {name: [one.decimal, one.thousands] for name, one in notations.items()}
    return grouped(divided(Rows(values, sizes, place, options, notes, reading=reading), options), options)


def divided(rows: Rows, options: DataOptions) -> Rows:
    """The rows in the splits that a column names (see ``roles.split_column``), without this column, and with a note.

    Raises UsageError if no row is in train and if the column contradicts a division into files, DataError for an empty
    cell without ``skip_bad``.
    """
    name = split_column(rows.frame, options, rows.place)
    if name is None:
        return replace(rows, notes=(*rows.notes, *undivided_notes(rows.frame, options)))
    splits_of(rows.frame[name], rows.place)  # raises with the row where a value is no split
    rows = _without_empty(rows, name, "which divides the data", options)
    splits, notes = splits_of(rows.frame[name], rows.place), rows.notes
    rows = replace(rows, frame=rows.frame.drop(columns=[name]))
    files = np.repeat(list(rows.sizes), list(rows.sizes.values()))
    against = (files != "train") & (files != splits)
    if against.any():
        row = int(against.argmax())
        raise UsageError(
            f"{rows.place(row)}: column '{name}' says {splits[row]}, but the row is in the file of {files[row]}: "
            f"--drop {name} leaves the column out"
        )
    order = np.concatenate([np.flatnonzero(splits == split) for split in ORDER])
    sizes = {split: count for split in ORDER if (count := int((splits == split).sum()))}
    if len(sizes) == 1 or (not options.teaches and "train" not in sizes):
        note = f"column '{name}' holds '{' and '.join(sizes)}' alone and divides nothing: left out"
        return replace(rows, notes=(*notes, note))
    if "train" not in sizes:
        raise UsageError(
            f"{rows.place(0)}: column '{name}', which divides the data, holds no 'train': --drop {name} leaves it out"
        )
    parts = ", ".join(f"{split} {count:,}" for split, count in sizes.items())
    return replace(rows.at(order, sizes), notes=(*notes, f"the data are divided by column '{name}': {parts}"))


def grouped(rows: Rows, options: DataOptions) -> Rows:
    """The rows with the groups that the column ``group`` names, without this column. Raises UsageError for an unknown
    column, DataError for an empty cell without ``skip_bad``."""
    name = options.group
    if name is None or (name not in rows.frame.columns and not options.teaches):
        return rows
    if name not in rows.frame.columns or name in options.targets:
        raise unknown("group column", name, [str(one) for one in rows.frame.columns if one not in options.targets])
    rows = _without_empty(rows, name, "the group", options)
    return replace(rows, frame=rows.frame.drop(columns=[name]), groups=Groups.of(rows.frame[name]))


def _without_empty(rows: Rows, name: str, what: str, options: DataOptions) -> Rows:
    """Rows with a value in a column that decides their split. Raises DataError for one without (see ``skip_bad``)."""
    empty = rows.frame[name].isna().to_numpy()
    if not empty.any():
        return rows
    if not options.skip_bad or empty.all():
        raise DataError(
            f"{rows.place(int(empty.argmax()))}: column '{name}', {what}, is empty ({int(empty.sum())} rows in all; "
            "--skip-bad leaves them out)"
        )
    note = f"{int(empty.sum())} rows without a value in column '{name}', {what}, are left out"
    return replace(rows.without(empty), notes=(*rows.notes, note))


def with_targets(
    rows: Rows, targets: tuple[str, ...], options: DataOptions
) -> tuple[Rows, tuple[str, ...], pd.DataFrame]:
    """Rows with targets, a note on the dropped rows, and the target columns.

    Raises DataError, naming the row, for a missing target without ``skip_bad``, and if all targets are missing.
    """
    chosen = rows.frame[list(targets)]
    is_missing = chosen.isna()
    bad = is_missing.any(axis=1).to_numpy()
    if not bad.any():
        return rows, (), chosen
    if not options.skip_bad:
        row = int(bad.argmax())
        column = targets[int(is_missing.iloc[row].to_numpy().argmax())]
        raise DataError(
            f"{rows.place(row)}: the target '{column}' is missing ({int(bad.sum())} rows in all; --skip-bad leaves "
            "them out)"
        )
    if bad.all():
        raise DataError(f"{rows.place(0)}: the target '{targets[0]}' is missing, as in every row")
    kept = rows.without(bad)
    return kept, (f"{int(bad.sum())} rows without a target",), kept.frame[list(targets)]


def known_columns(names: tuple[str, ...], columns: list[str]) -> None:
    """Raise UsageError for a name that is not a column."""
    for name in names:
        if name not in columns:
            raise unknown("column", name, columns)
