"""Reading of text files, plain or compressed."""

from __future__ import annotations

import bz2
import codecs
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
HEAD = 1 << 16
"""bytes or characters that an encoding is told from"""


def is_text(path: Path) -> bool:
    return unpacked_name(path).endswith(TEXT_SUFFIXES)


def unpacked_name(path: Path) -> str:
    """The name of a file in lower case, without the suffix of a compressed one."""
    name = path.name.casefold()
    return next((name.removesuffix(suffix) for suffix in OPENERS if name.endswith(suffix)), name)


def read_text(path: Path, max_bytes: int, encoding: str = "auto") -> str:
    r"""The text of a file with ``\n`` line ends and without a byte order mark; encoding "auto" is UTF-8.

    Raises DataError, naming the file, for bytes of another encoding (with their position), damage, a compressed file of
    more than ``max_bytes``, and a text of white space only.
    """
    text = as_training_text(_decode(read_bytes(path, max_bytes), path, encoding))
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


def read_lines(path: Path, max_bytes: int, encoding: str = "auto") -> list[str]:
    """The lines of a file whose lines belong to those of another. They end at a newline, with or without a carriage
    return before it; a carriage return alone is part of a line, unless the file has no newline at all. Raises DataError
    as ``read_text`` does."""
    text = _decode(read_bytes(path, max_bytes), path, encoding).removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise DataError(f"'{path}' is empty: it holds no text")
    return lines_of(text if "\n" in text else text.replace("\r", "\n"))


def as_training_text(text: str) -> str:
    """A text as files are read: without a byte order mark, every line ended by a newline alone."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes, path: Path, encoding: str) -> str:
    name, known = ("UTF-8", "utf-8") if encoding == "auto" else (encoding, encoding)
    try:
        text = data.decode(known)
    except (UnicodeDecodeError, UnicodeError) as error:
        where = f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else str(error)
        advice = f"; --encoding {likely_encoding(data)} reads it" if encoding == "auto" else ""
        raise DataError(f"'{path}' is not {name} text: {where}{advice}") from error
    if encoding == "auto" and "\0" in text[:HEAD]:
        raise DataError(
            f"'{path}' holds NUL characters, as UTF-16 read as UTF-8 does: --encoding {likely_encoding(data)} reads it"
        )
    return text


def likely_encoding(data: bytes) -> str:
    """An encoding that reads the bytes, for a hint."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[:HEAD]
    if b"\0" in head:
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def lines_of(text: str) -> list[str]:
    """Its lines without line ends."""
    return text.removesuffix("\n").split("\n")
