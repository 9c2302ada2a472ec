"""Safe extraction of archives into the cache."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lamina.errors import DataError

BLOCK = 1 << 20


def cache_root() -> Path:
    """The cache of extracted and downloaded data: $LAMINA_CACHE, or ~/.cache/lamina."""
    return Path(os.environ.get("LAMINA_CACHE") or "~/.cache/lamina").expanduser()


def extract(path: Path, max_bytes: int) -> Path:
    """The folder in the cache with the contents of a zip or tar archive (plain, gz, xz, bz2).

    An archive is extracted once for each path, size and modification time. Raises DataError, naming archive and member,
    for absolute names, "..", links, devices, encryption, damage, and contents of more than ``max_bytes``; nothing is
    then left behind.
    """
    stats = path.stat()
    key = f"{path.resolve()}\0{stats.st_size}\0{stats.st_mtime_ns}".encode("utf-8", "surrogateescape")
    target = cache_root() / "archives" / f"{path.name.split('.')[0]}-{hashlib.blake2b(key, digest_size=8).hexdigest()}"
    return fill(target, lambda folder: _unpack(path, folder, max_bytes))


def fill(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, created by ``make(folder)`` if missing; atomic, by way of a temporary folder."""
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DataError(f"cannot write to the cache '{target.parent}': {error.strerror}") from error
    try:
        make(temporary)
        os.chmod(temporary, 0o755)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(path: Path, folder: Path, max_bytes: int) -> None:
    left = max_bytes
    try:
        members = _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path)
        for name, content in members:
            parts = _safe_parts(path, name)
            if not parts:
                continue
            place = folder.joinpath(*parts)
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with content, place.open("wb") as file:
                # counted while reading: the sizes stated in an archive may be wrong
                while block := content.read(BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise DataError(f"'{path}' inflates to more than the {max_bytes} bytes allowed, at '{name}'")
                    file.write(block)
    except DataError:
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(f"cannot extract '{path}': {reason}") from error
    except (
        EOFError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,
        ValueError,
    ) as error:
        raise DataError(f"cannot extract '{path}': {' '.join(str(error).split())}") from error


def _safe_parts(path: Path, name: str) -> list[str]:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ":" in parts[0]:
        raise DataError(f"'{path}' is refused: its member '{name}' has an absolute name")
    if ".." in parts:
        raise DataError(f"'{path}' is refused: its member '{name}' leaves the folder")
    return [part for part in parts if part not in ("", ".")]


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"'{path}' is refused: its member '{member.filename}' is a link or a device")
            if member.flag_bits & 1:
                raise DataError(f"'{path}' is encrypted")
            yield member.filename, None if member.is_dir() else archive.open(member)


def _tar_members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()):
                raise DataError(f"'{path}' is refused: its member '{member.name}' is a link or a device")
            yield member.name, archive.extractfile(member) if member.isfile() else None
