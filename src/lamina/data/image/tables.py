"""Tables of image files: a column of relative paths, the other columns labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lamina.data.image.decoding import IMAGE_SUFFIXES
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.tabular.columns import Place, shown
from lamina.data.targets.labels import USUAL_NAMES, Labels, target_columns
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def image_column(frame: pd.DataFrame, place: Place, root: Path) -> str | None:
    """The first column that consists mostly of names of image files, or None.

    Raises DataError if none of these files exists: the column would otherwise be treated as categorical.
    """
    for name in frame.columns:
        present = frame[name].dropna()
        texts = [value for value in present.tolist() if isinstance(value, str)]
        if not texts or 2 * sum(_is_image_name(text) for text in texts) < len(present):
            continue
        if not any((root / text).is_file() for text in texts):
            first = place(int(present.index[0]))
            raise DataError(
                f"{first}: no image {shown(texts[0])} in '{root}' (nor any other that column '{name}' names)"
            )
        return str(name)
    return None


def label_columns(frame: pd.DataFrame, pictures: str, options: DataOptions, source: str) -> tuple[str, ...] | str:
    """The target columns: those requested or with usual names, or the only one besides the paths, or all if they are 0
    and 1. Without one, a hint on how to name it."""
    others = [str(name) for name in frame.columns if name != pictures]
    usual = [name for name in others if name.casefold() in USUAL_NAMES]
    if not options.targets and len(usual) != 1 and others:
        if len(others) == 1:
            return (others[0],)
        if all(frame[name].dropna().isin([0, 1]).all() for name in others):
            return tuple(others)
    if not others:
        return f"{source} has one column, '{pictures}', and no column of labels"
    return target_columns(others, options, source)


def image_table_source(
    name: str,
    root: Path,
    column: pd.Series[Any],
    sizes: Mapping[str, int],
    labels: Labels,
    place: Place,
    options: DataOptions,
) -> Source:
    """A source of the image files in a column, relative to ``root``, the folder of the table.

    Raises DataError, naming the row, for an empty cell; a missing file counts as unreadable.
    """
    is_missing = column.isna().to_numpy()
    if is_missing.any():
        raise DataError(f"{place(int(is_missing.argmax()))}: there is no image in column '{column.name}'")
    every = [root / str(value) for value in column.tolist()]
    paths, start = {}, 0
    for split, count in sizes.items():
        paths[split] = every[start : start + count]
        start += count
    return image_files_source(name, root, paths, labels, options)


def _is_image_name(text: str) -> bool:
    return PurePosixPath(text.strip()).suffix.casefold() in IMAGE_SUFFIXES
