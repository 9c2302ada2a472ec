"""Data in memory as sources: frames, arrays, pictures, texts, data sets of the datasets library.

``lamina.data.formats.memory_reading`` finds out what was given. Each kind goes the way of its file: a frame that of a
CSV, arrays that of an .npz file, pictures that of a folder of images, texts that of a table of texts. Equal data
therefore train to the same bits from memory and from files, and have the same fingerprint.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lamina.data.formats.arrays import Array, array_labels, arrays_source
from lamina.data.formats.hub import dataset_source
from lamina.data.formats.tables import rows_source
from lamina.data.image.decoding import EncodedImage
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.series.source import rows_options, wants_series
from lamina.data.source import Source
from lamina.data.tabular.frames import as_written, checked
from lamina.data.tabular.rows import Rows, joined_rows
from lamina.data.text.parallel import COLUMNS
from lamina.data.text.tables import pair_table
from lamina.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

TEXT, LABEL = "text", "label"
"""the columns of texts with labels"""
HINT = "{}: give (inputs, labels) for targets"


class MemoryData(Protocol):
    """Data in memory, by split.

    Example: ``read_memory(frame).open(DataOptions(target="price"))``
    """

    @property
    def parts(self) -> Mapping[str, Any]:
        """What each split consists of, train among them."""

    @property
    def name(self) -> str:
        """In words: "a data frame of 150 rows"."""

    @property
    def labelled(self) -> tuple[str, ...]:
        """The splits whose labels were given apart from the inputs."""

    def open(self, options: DataOptions) -> Source:
        """Raises UsageError and DataError."""


@dataclass(frozen=True)
class Frames:
    """Data frames, as tables."""

    parts: Mapping[str, pd.DataFrame]
    targets: tuple[str, ...] = ()
    """the columns of labels that were given apart from the frame"""

    @property
    def name(self) -> str:
        return f"a data frame of {_total(self.parts.values()):,} rows"

    @property
    def labelled(self) -> tuple[str, ...]:
        return tuple(self.parts) if self.targets else ()

    def open(self, options: DataOptions) -> Source:
        if self.targets and options.targets:
            raise UsageError(f"{self.name} came with labels of its own: leave out the target '{options.targets[0]}'")
        options = replace(options, target=self.targets or options.target)
        if options.task == "translation" or options.languages:
            return pair_table(self.name, self._rows(options, *options.languages), options)
        if wants_series(options):
            rows = self._rows(rows_options(options), *options.series)
            rows = replace(rows, options=replace(rows.options or options, group=options.group))
        else:
            rows = self._rows(options, *(() if options.text is None else (options.text,)))
        return rows_source(self.name, rows, Path(), options, lambda column: self._rows(options, column))

    def _rows(self, options: DataOptions, *texts: str) -> Rows:
        return _rows(self.parts, "the data frame", options, texts)


@dataclass(frozen=True)
class Arrays:
    """Arrays of features or images, and of labels."""

    parts: Mapping[str, tuple[Array, Array | None]]
    classes: tuple[str, ...] = ()
    """names of classes that are numbered from 0"""

    @property
    def name(self) -> str:
        return f"arrays of {_total(x for x, _ in self.parts.values()):,} samples"

    @property
    def labelled(self) -> tuple[str, ...]:
        return _labelled(self.parts)

    def open(self, options: DataOptions) -> Source:
        return arrays_source(self.name, self.parts, options, hint=HINT.format(self.name), classes=self.classes)


@dataclass(frozen=True)
class Pictures:
    """Pictures of any size, and their labels."""

    parts: Mapping[str, tuple[Sequence[EncodedImage], Array | None]]
    classes: tuple[str, ...] = ()
    """names of classes that are numbered from 0"""

    @property
    def name(self) -> str:
        return f"a list of {_total(pictures for pictures, _ in self.parts.values()):,} pictures"

    @property
    def labelled(self) -> tuple[str, ...]:
        return _labelled(self.parts)

    def open(self, options: DataOptions) -> Source:
        labels = array_labels(self.name, self.parts, options, hint=HINT.format(self.name), classes=self.classes)
        pictures = {split: part for split, (part, _) in self.parts.items()}
        return image_files_source(self.name, Path(), pictures, labels, options)


@dataclass(frozen=True)
class TextLists:
    """Texts: alone, with labels, or with translations."""

    parts: Mapping[str, tuple[Sequence[str | None], Array | None]]

    @property
    def name(self) -> str:
        return f"a list of {_total(texts for texts, _ in self.parts.values()):,} texts"

    @property
    def labelled(self) -> tuple[str, ...]:
        return _labelled(self.parts)

    def open(self, options: DataOptions) -> Source:
        """Translations where they are asked for, and where the second texts are too different to be classes."""
        if options.targets or options.text is not None:
            column = options.targets[0] if options.targets else options.text
            raise UsageError(f"{self.name} has no columns to choose from, got '{column}'")
        pairs = options.task == "translation" or options.languages or (options.task == "auto" and self._differ())
        if self.labelled and pairs:
            return self._open_pairs(options)
        frames, targets = {}, tuple[str, ...]()
        for split, (texts, labels) in self.parts.items():
            columns = _columns(labels)
            frames[split], targets = _frame(TEXT, texts).assign(**columns), tuple(columns)
        options = replace(options, text=TEXT, target=targets or None)
        rows = _rows(frames, "the list", options, (TEXT,))
        return rows_source(self.name, rows, Path(), options, lambda column: rows)

    def _differ(self) -> bool:
        """Whether most of the second texts are different, as those of classes cannot be."""
        second = [text for _, labels in self.parts.values() if labels is not None for text in labels.tolist()]
        return all(isinstance(text, str) for text in second) and 2 * len(set(second)) > len(second)

    def _open_pairs(self, options: DataOptions) -> Source:
        """Pairs of the languages ``first`` and ``second``, or of the names that ``languages`` gives the two."""
        names = COLUMNS if not options.languages or set(options.languages) == set(COLUMNS) else options.languages
        frames = {
            split: _frame(names[0], texts).assign(**{names[1]: labels}) for split, (texts, labels) in self.parts.items()
        }
        options = replace(options, languages=options.languages or COLUMNS)
        rows = _rows(frames, "the list", options, names)
        return pair_table(self.name, rows, options)


@dataclass(frozen=True)
class HubParts:
    """Data sets of the datasets library, which is imported where they come from."""

    parts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"a data set of {_total(self.parts.values()):,} rows"

    @property
    def labelled(self) -> tuple[str, ...]:
        return ()

    def open(self, options: DataOptions) -> Source:
        return dataset_source(importlib.import_module("datasets"), self.name, self.parts, options)


def _rows(parts: Mapping[str, pd.DataFrame], noun: str, options: DataOptions, texts: Sequence[str] = ()) -> Rows:
    """The rows of frames; columns in ``texts`` are texts as they stand."""
    names = {split: f"{noun} of {split}" if len(parts) > 1 else noun for split in parts}
    frames = {split: as_written(checked(frame, names[split])) for split, frame in parts.items()}
    return joined_rows(frames, names, options, tuple(texts))


def _columns(labels: Array | None) -> dict[str, Array]:
    """The columns of labels (N,) or (N, K); none without labels."""
    if labels is None:
        return {}
    columns = labels.reshape(len(labels), -1).T
    return {LABEL: columns[0]} if len(columns) == 1 else {f"{LABEL}{k}": column for k, column in enumerate(columns)}


def _frame(column: str, values: Sequence[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({column: list(values)}, dtype=object)


def _total(parts: Any) -> int:
    return sum(len(part) for part in parts)


def _labelled(parts: Mapping[str, tuple[Any, Any]]) -> tuple[str, ...]:
    return tuple(split for split, (_, labels) in parts.items() if labels is not None)
