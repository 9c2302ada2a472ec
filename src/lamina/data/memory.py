"""Whether data fit into memory, known before they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from lamina.errors import DataError

GIB = 2**30
LEAST = 2
"""times the bytes in files that tables and texts need in memory, at least: as read, and as values or tokens"""


def free_bytes() -> int:
    """Free bytes of memory, of the machine or of the container, whichever are fewer."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = {line.split(":")[0]: line.split()[1] for line in file}
        free = int(found["MemAvailable"]) * 1024
    except (OSError, KeyError):  # not Linux: half of all memory
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    with suppress(OSError, ValueError):
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        if limit != "max":
            free = min(free, int(limit) - used)
    return max(free, 0)


def expect_room(sizes: Mapping[Path, int], what: str) -> None:
    """Raise DataError, with what helps, for files of so many bytes that are read as a whole and cannot fit.

    ``what`` they are read as: "a table".
    """
    total, free = sum(sizes.values()), free_bytes()
    if LEAST * total <= free:
        return
    first, *more = sizes
    files = f"the {len(sizes)} files in '{first.parent}' hold" if more else f"'{first}' holds"
    raise DataError(
        f"{files} {_gib(total)}, which are read as a whole as {what} and need at least {_gib(LEAST * total)}, but "
        f"{_gib(free)} of memory are free: give --data {'fewer of them' if more else 'a part of it'}, or use a machine "
        "with more memory (what may be larger than memory: docs/scaling.md)"
    )


def file_sizes(paths: Iterable[Path]) -> dict[Path, int]:
    """The bytes of files; those that are not there are named when they are read."""
    return {path: path.stat().st_size if path.is_file() else 0 for path in paths}


def _gib(count: int) -> str:
    return f"{count / GIB:,.1f} GiB"
