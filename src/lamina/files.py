"""Files that are either whole or as they were."""

from __future__ import annotations

import contextlib
import os
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


def reason(error: BaseException) -> str:
    """The operating system's words for a failed write; torch's writer hides them in the error before its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return str(error).partition("\n")[0] or type(error).__name__
