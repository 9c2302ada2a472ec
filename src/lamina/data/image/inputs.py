"""What is given to predict, as single images: files of a folder, of a pattern, of a list of paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamina.data.image.decoding import image_files
from lamina.data.inputs import named_files
from lamina.data.options import DataOptions
from lamina.data.tabular.frames import PARQUET, read_frame
from lamina.data.tabular.stored import stored_columns
from lamina.data.text_files import is_text, read_lines
from lamina.errors import UsageError


def inputs(item: Any) -> Iterator[Any]:
    """The images that an item stands for, files as they are named: those of a folder at any depth, those that match a
    pattern, those listed in a .txt file, a path on each line, relative to the working folder or to the list, those
    stored in a Parquet file. Other items are one image, or what the preprocess makes of them.

    Raises UsageError for a folder or a Parquet file without images and a pattern that matches none, DataError for a
    list or a Parquet file that cannot be read.
    """
    if isinstance(item, list | tuple):
        for one in item:
            yield from inputs(one)
    elif isinstance(item, str | os.PathLike):
        for file in named_files(item, lambda path: bool(image_files([path])), "images"):
            yield from _inside(file) if file.is_file() else [file]
    else:
        yield item


def _inside(file: Path) -> Iterator[Any]:
    """The images that a file lists or holds: itself, if it is an image."""
    if is_text(file):
        yield from _listed(file)
    elif file.suffix.casefold() in PARQUET:
        frame, _ = read_frame(file, DataOptions())
        columns = stored_columns(frame)
        if not columns:
            raise UsageError(f"'{file}' has no column of images")
        yield from frame[columns[0]]
    else:
        yield file


def _listed(listing: Path) -> Iterator[Path]:
    for line in read_lines(listing, DataOptions().max_extracted_bytes):
        if name := line.strip():
            path = Path(name).expanduser()
            beside = listing.parent / path
            yield beside if beside.exists() and not path.exists() else path
