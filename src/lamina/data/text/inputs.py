"""What is given to predict, as texts and files of texts."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.data.inputs import is_pattern, named_files
from lamina.data.options import DataOptions
from lamina.data.tabular.cells import as_texts, plain_number
from lamina.data.tabular.frames import is_table, read_frame
from lamina.data.text_files import is_text, read_text
from lamina.errors import UsageError


@dataclass(frozen=True)
class WholeText:
    """A file that is one text, as in a folder for each class."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> str:
        """Raises DataError for a file that is empty or no text."""
        return read_text(self.path, DataOptions().max_extracted_bytes)


def inputs(item: Any) -> Iterator[Any]:
    """The texts and files that an item stands for. A Path may be a folder, whose files are a text each, or a pattern of
    files of one text on each line, or of tables; a str is a text.

    Raises UsageError for a folder or pattern without texts.
    """
    if isinstance(item, list | tuple) and any(isinstance(one, Path) for one in item):
        for one in item:
            yield from inputs(one)
    elif isinstance(item, Path):
        whole = item.expanduser().is_dir()
        for file in named_files(item, is_text if whole else _holds_texts, "texts"):
            yield WholeText(file) if whole else file
    else:
        yield item


def from_word(word: str) -> str | Path:
    """A Path where the word names a file or folder of texts, or a pattern that some match; else the word, a text."""
    path = Path(word).expanduser()
    try:
        if path.is_dir() or (path.is_file() and _holds_texts(path)):
            return path
        if is_pattern(word) and _holds_texts(path) and any(glob.iglob(str(path), recursive=True)):
            return path
    except (OSError, ValueError):  # a text that no file can be called
        pass
    return word


def _holds_texts(path: Path) -> bool:
    return is_text(path) or is_table(path)


def table_texts(path: Path, targets: Sequence[str]) -> list[str]:
    """The texts of a table, "" for an empty cell: of the column called text, or that of the source language (the first
    of ``targets``, of pairs), or the only column of texts besides the targets.

    Raises UsageError where there are several, DataError for a table that cannot be read.
    """
    frame = read_frame(path, DataOptions())[0]
    columns = [str(name) for name in frame.columns]
    words = [name for name in columns if any(map(_is_text, as_texts(frame[name]).to_pylist()))]
    left = [name for name in words if name not in targets] or words
    source = targets[:1] if len(targets) == 2 else ()
    chosen = [name for name in ("text", *source) if name in words] or left
    if len(chosen) != 1 and chosen[:1] != ["text"]:
        raise UsageError(f"'{path}' has the columns {', '.join(columns)}: call the one of the texts 'text'")
    return [text or "" for text in as_texts(frame[chosen[0]]).to_pylist()]


def _is_text(cell: str | None) -> bool:
    return cell is not None and plain_number(cell) is None
