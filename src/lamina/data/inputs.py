"""Files given to predict: one, those in a folder, those that match a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.errors import UsageError
from lamina.files import is_run


def named_files(item: str | os.PathLike[str], reads: Callable[[Path], bool], what: str) -> list[Path]:
    """The files that ``item`` names: itself; those in a folder that ``reads`` takes, at any depth, in order of name,
    without hidden files and those of runs; those that match a pattern such as ``photos/*.png`` (``**``: any depth).

    A single file need not exist: whoever reads it says so. Raises UsageError for a folder and a pattern without any;
    ``what`` names them: "images".

    Example: ``named_files("photos", is_image, "images")``
    """
    path = Path(item).expanduser()
    if path.is_dir():
        found = [file for file in sorted(_under(path)) if reads(file)]
        if not found:
            raise UsageError(f"no {what} in the folder '{item}'")
        return found
    if not is_pattern(item):
        return [path]
    matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    files = [file for file in matched if file.is_file()]
    found = [file for file in files if reads(file)] or files
    if not found:
        raise UsageError(f"no {what} match '{item}'")
    return found


def is_pattern(item: str | os.PathLike[str]) -> bool:
    """Whether a name is a pattern of file names, and not the name of a file."""
    return glob.has_magic(str(item)) and not Path(item).expanduser().exists()


def _under(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".") and not is_run(Path(where, name))]
        yield from (Path(where, name) for name in names if not name.startswith("."))
