"""Text files: UTF-8, plain or gzipped, as a whole or line by line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from lamina.errors import DataError

TEXT_SUFFIXES = (".txt", ".txt.gz")


def is_text(path: Path) -> bool:
    return path.name.casefold().endswith(TEXT_SUFFIXES)


def read_lines(path: Path, most: int) -> list[str]:
    """The lines of a file that belong together with those of another: they end at a newline, with or without a carriage
    return before it; a carriage return alone is part of a line. Raises DataError as ``read_text`` does."""
    text = _decoded(read_bytes(path, most), path).removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise DataError(f"'{path}' is empty: it holds no text")
    return lines_of(text)


def read_text(path: Path, most: int) -> str:
    """The text of a file, every line ended by a newline alone, a byte order mark left out.

    Raises DataError naming the file for bytes that are not UTF-8 (and where they are), damage, a gzipped file of more
    than ``most`` bytes, and a text without anything but white space.
    """
    text = decoded(read_bytes(path, most), path)
    if not text.strip():
        raise DataError(f"'{path}' is empty: it holds no text")
    return text


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The contents of a file, unpacked where it is gzipped. Raises DataError for damage, and for more than ``most``."""
    try:
        if path.suffix.casefold() != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            data: bytes = file.read(-1 if most is None else most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    if most is not None and len(data) > most:
        raise DataError(f"'{path}' inflates to more than the {most} bytes allowed")
    return data


def decoded(data: bytes, path: Path) -> str:
    """Bytes of a file as text with newlines alone. Raises DataError for bytes that are not UTF-8, saying where."""
    return as_training_text(_decoded(data, path))


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text: {error.reason} at byte {error.start}") from error


def as_training_text(text: str) -> str:
    """A text as files are read: without a byte order mark, every line ended by a newline alone."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def lines_of(text: str) -> list[str]:
    """Its lines without their ends: newlines alone part them."""
    return text.removesuffix("\n").split("\n")
