"""Reading of text files: UTF-8, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lamina.errors import DataError

TEXT_SUFFIXES = (".txt", ".tokens")
OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
"""by the suffix of a compressed file"""


def is_text(path: Path) -> bool:
    return unpacked_name(path).endswith(TEXT_SUFFIXES)


def unpacked_name(path: Path) -> str:
    """The name of a file in lower case, without the suffix of a compressed one."""
    name = path.name.casefold()
    return next((name.removesuffix(suffix) for suffix in OPENERS if name.endswith(suffix)), name)


def read_text(path: Path, max_bytes: int) -> str:
    r"""The text of a file with ``\n`` line ends and without a byte order mark.

    Raises DataError, naming the file, for bytes that are not UTF-8 (with their position), damage, a gzipped file of
    more than ``max_bytes``, and a text of white space only.
    """
    text = decoded(read_bytes(path, max_bytes), path)
    if not text.strip():
        raise DataError(f"'{path}' is empty: it contains no text")
    return text


def read_bytes(path: Path, max_bytes: int | None = None) -> bytes:
    """The contents of a file, unpacked if compressed. Raises DataError for damage and for more than ``max_bytes``."""
    opener = OPENERS.get(path.suffix.casefold())
    try:
        if opener is None:
            return path.read_bytes()
        with opener(path) as file:
            data: bytes = file.read(-1 if max_bytes is None else max_bytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    if max_bytes is not None and len(data) > max_bytes:
        raise DataError(f"'{path}' inflates to more than the {max_bytes} bytes allowed")
    return data


def read_lines(path: Path, max_bytes: int) -> list[str]:
    """The lines of a file whose lines belong to those of another. They end at a newline, with or without a carriage
    return before it; a carriage return alone is part of a line, unless the file has no newline at all. Raises DataError
    as ``read_text`` does."""
    text = _decode(read_bytes(path, max_bytes), path).removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise DataError(f"'{path}' is empty: it holds no text")
    return lines_of(text if "\n" in text else text.replace("\r", "\n"))


def decoded(data: bytes, path: Path) -> str:
    """File contents as text. Raises DataError for bytes that are not UTF-8, with their position."""
    return as_training_text(_decode(data, path))


def as_training_text(text: str) -> str:
    """A text as files are read: without a byte order mark, every line ended by a newline alone."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text: {error.reason} at byte {error.start}") from error


def lines_of(text: str) -> list[str]:
    """Its lines without line ends."""
    return text.removesuffix("\n").split("\n")
