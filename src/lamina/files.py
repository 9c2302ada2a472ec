"""Files that are either whole or as they were, and the folder of a run as it is known by its files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lamina.errors import RunError


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that after a crash at any moment it holds either its old content or the new, never a part.

    A temporary beside it, fsync, rename, fsync of the folder. Raises RunError (no space, no permission); then the old
    content stands and no temporary is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise RunError(f"cannot write {path}: {reason(error)}; what was there before is unchanged") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: a ``config.yaml`` that states its format, and a ``card.json``. A folder of
    data may have a file of either name."""
    return (folder / "card.json").is_file() and states_format(folder / "config.yaml")


def states_format(config: Path) -> bool:
    """Whether a file is the ``config.yaml`` of a run, by its line "format: 1"; it may be damaged."""
    try:
        return re.search(rb"^format: *\d", config.read_bytes(), re.MULTILINE) is not None
    except OSError:
        return False


def reason(error: BaseException) -> str:
    """The operating system's words for a failed write; torch's writer hides them in the error before its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return str(error).partition("\n")[0] or type(error).__name__
