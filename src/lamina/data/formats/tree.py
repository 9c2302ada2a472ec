"""A folder read once: the files in it that can be data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lamina.data.image.decoding import image_files
from lamina.data.text_files import is_text
from lamina.errors import DataError
from lamina.files import is_run

NO_DATA = ("__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin")
"""folders that systems leave beside data, in lower case"""
DOCUMENTS = re.compile(r"_?(readme|licen[cs]e|copying|changelog|changes)\b", re.IGNORECASE)
"""names of files about the data"""


@dataclass(frozen=True)
class Folder:
    """A folder without hidden entries, without runs and folders of runs: what training wrote is no data.

    Example: ``[path.name for path in scan(Path("photos")).images]``
    """

    path: Path
    folders: tuple[Folder, ...]
    """by name"""
    files: tuple[Path, ...]
    """by name"""
    holds_runs: bool = False
    """whether runs were left out"""

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def images(self) -> list[Path]:
        """The image files in it and in its folders, by relative name."""
        return sorted(image_files(self.every()), key=Path.as_posix)

    @cached_property
    def texts(self) -> list[Path]:
        """The text files in it and in its folders, by relative name: ``.txt``, or without a suffix, and not about the
        data, such as README."""
        return sorted(filter(is_sample, self.every()), key=Path.as_posix)

    def every(self) -> Iterator[Path]:
        """Its files and those of its folders."""
        yield from self.files
        for folder in self.folders:
            yield from folder.every()


def scan(path: Path) -> Folder:
    """The folder at ``path``. Raises DataError for a folder that cannot be read.

    A link to one of the folders around it is not followed.
    """
    return _scan(path, frozenset())


def _scan(path: Path, around: frozenset[str]) -> Folder:
    around |= {os.path.realpath(path)}
    folders, files, runs, run_inside = [], [], False, False
    try:
        with os.scandir(path) as found:
            entries = sorted((entry for entry in found if _visible(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder '{path}': {error.strerror}") from error
    for entry in entries:
        where = path / entry.name
        if not entry.is_dir():
            if entry.is_file():
                files.append(where)
            continue
        if entry.is_symlink() and os.path.realpath(where) in around:
            continue
        if is_run(where):
            run_inside = True
            continue
        inner = _scan(where, around)
        runs = runs or inner.holds_runs
        if not (inner.holds_runs and not inner.images and (not inner.texts or _only_runs(inner))):
            folders.append(inner)
    return Folder(path, tuple(folders), tuple(files), runs or run_inside)


def _only_runs(folder: Folder) -> bool:
    """Whether a folder has runs directly in it, as training makes them: texts beside them are notes."""
    return any(path.is_dir() and is_run(path) for path in folder.path.iterdir())


def is_sample(path: Path) -> bool:
    """Whether a file in a class folder is a text."""
    suffix = path.suffix.casefold()
    return (is_text(path) or not suffix or suffix[1:].isdecimal()) and not is_document(path)


def is_document(path: Path) -> bool:
    """Whether a file is about the data, such as README.txt."""
    return DOCUMENTS.match(path.name) is not None


def data_files(paths: Iterable[Path]) -> list[Path]:
    """The files that are not about the data; all of them if there are no others."""
    paths = list(paths)
    return [path for path in paths if not is_document(path)] or paths


def _visible(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in NO_DATA
