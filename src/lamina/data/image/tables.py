"""Tables of image files: a column of relative paths, the other columns labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.image.decoding import IMAGE_SUFFIXES, ImageFile
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.tabular.columns import Place, shown
from lamina.data.tabular.stored import StoredBytes, stored_columns
from lamina.data.targets.labels import USUAL_NAMES, Labels, target_columns
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SOME = 20
"""values that are looked for as files"""
FEW = 20
"""columns, and folders, that are searched for names of images without an ending"""


def image_root(table: Path, options: DataOptions) -> Path:
    """The folder that paths in a table are relative to: the table's own, or ``root``, looked for beside the table, then
    in the current folder. Raises UsageError for a missing one."""
    if options.root is None:
        return table.parent
    given = Path(options.root).expanduser()
    for folder in (table.parent / given, given):
        if folder.is_dir():
            return folder
    raise UsageError(f"root: no such folder: {options.root}")


def image_column(
    frame: pd.DataFrame, place: Place, root: Path, options: DataOptions, as_read: Callable[[str], pd.Series[Any]]
) -> str | None:
    """The first column of images stored in a Parquet file, or of names of image files, in ``root``; with ``suffix`` of
    names without this ending. None if there is none. ``as_read`` gives a column as text.

    Raises DataError if none of the files that a column names exists, since the column would otherwise be treated as
    categorical, and UsageError for a column of names without an ending, and for ``root`` or ``suffix`` without a
    column of names.
    """
    columns = [str(name) for name in frame.columns if name not in options.targets]
    if stored := [name for name in stored_columns(frame) if name in columns]:
        if options.root is not None or options.suffix:
            given = "root" if options.root is not None else "suffix"
            raise UsageError(f"{given} is for tables that name image files, but column '{stored[0]}' holds the images")
        return stored[0]
    named = [name for name in columns if _mostly_image_names(frame[name])]
    if options.suffix:
        suffix = dotted(options.suffix)
        others = {name: texts for name in columns if name not in named and (texts := _some(frame[name], as_read))}
        named += [name for name, texts in others.items() if any((root / f"{text}{suffix}").is_file() for text in texts)]
    for name in named:
        texts = [with_suffix(str(value), options) for value in as_read(name).dropna().tolist()]
        if not any((root / text).is_file() for text in texts):
            first, folder = place(int(frame[name].notna().to_numpy().argmax())), _folder_of(root, texts[0])
            advice = "--root names the images' folder" if folder is None else f"--root {folder} reads those in there"
            raise DataError(
                f"{first}: no image {shown(texts[0])} in '{root}' (nor any other that column '{name}' names); {advice}"
            )
        return name
    if options.root is not None or options.suffix:
        given = "root" if options.root is not None else "suffix"
        advice = "" if options.suffix else "; --suffix .jpg adds an ending to names without one"
        raise UsageError(f"{given} is for tables of images, but no column names a file in '{root}'{advice}")
    folders = [folder for folder in (root, *_folders(root)) if _holds_images(folder)]
    for name in columns[:FEW] if folders else []:
        if found := _without_suffix(_some(frame[name], as_read), folders):
            folder, suffix = found
            where = "" if folder == root else f" --root {folder}"
            raise UsageError(
                f"{place(0)}: column '{name}' names images in '{folder}' without their ending: read them with{where} "
                f"--suffix {suffix}, or leave the column out with --drop {name}"
            )
    return None


def with_suffix(text: str, options: DataOptions) -> str:
    """The name of an image file: with ``suffix``, if it has none of an image."""
    text = text.strip()
    return text if not options.suffix or _is_image_name(text) else text + dotted(options.suffix)


def dotted(suffix: str) -> str:
    """An ending as it stands in names of files: "jpg" is ".jpg"."""
    return suffix if "." in suffix else f".{suffix}"


def _mostly_image_names(series: pd.Series[Any]) -> bool:
    from pandas.api.types import is_numeric_dtype

    if is_numeric_dtype(series.dtype):
        return False
    cells = Counter(value for value in series.dropna().tolist() if isinstance(value, str))
    named = sum(count for text, count in cells.items() if _is_image_name(text))
    return bool(cells) and 2 * named >= int(series.notna().sum())


def _without_suffix(texts: list[str], folders: list[Path]) -> tuple[Path, str] | None:
    """Folder and ending of the images that most of the names are those of."""
    if len(set(texts)) < 2:
        return None
    for folder in folders:
        for suffix in sorted(IMAGE_SUFFIXES | {suffix.upper() for suffix in IMAGE_SUFFIXES}):
            if 2 * sum((folder / f"{text}{suffix}").is_file() for text in texts) > len(texts):
                return folder, suffix
    return None


def _some(series: pd.Series[Any], as_read: Callable[[str], pd.Series[Any]]) -> list[str]:
    """Some values of a column as text, from all over it, if they can be names of files: texts or whole numbers."""
    present = series.dropna()
    values = present.iloc[:: max(1, len(present) // SOME)]
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values.tolist()):
        return []
    texts = [str(value).strip() for value in as_read(str(series.name)).loc[values.index].tolist()]
    return texts if all(0 < len(text) < 200 and "\0" not in text for text in texts) else []


def _folder_of(root: Path, file: str) -> Path | None:
    """The folder beside a table that holds a file."""
    return next((folder for folder in _folders(root) if (folder / file).is_file()), None)


def _folders(root: Path) -> list[Path]:
    found = sorted(path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())
    return found[:FEW]


def _holds_images(folder: Path) -> bool:
    """Whether an image is among the first files of a folder."""
    with os.scandir(folder) as found:
        return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES for entry in islice(found, 100))


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
    """A source of the image files in a column, relative to ``root``, with ``suffix`` after names without an ending, or
    of the images in it.

    Raises DataError, naming the row, for an empty cell; a missing file counts as unreadable.
    """
    is_missing = (column.isna() | column.map(lambda value: not str(value).strip())).to_numpy()
    if is_missing.any():
        raise DataError(f"{place(int(is_missing.argmax()))}: there is no image in column '{column.name}'")
    every = [_image(value, root, options) for value in column.tolist()]
    paths: dict[str, list[ImageFile]] = {}
    start = 0
    for split, count in sizes.items():
        paths[split] = every[start : start + count]
        start += count
    return image_files_source(name, root, paths, labels, options)


def _image(value: object, root: Path, options: DataOptions) -> ImageFile:
    return value if isinstance(value, StoredBytes) else root / with_suffix(str(value), options)


def _is_image_name(text: str) -> bool:
    return os.path.splitext(text.strip())[1].casefold() in IMAGE_SUFFIXES
