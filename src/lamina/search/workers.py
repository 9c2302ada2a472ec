"""Several workers on one search, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from lamina.data.memory import free_bytes
from lamina.errors import LaminaError, UsageError
from lamina.search.searching import Search, open_search
from lamina.search.working import Show

SHARE = 0.9
"""share of the free memory that workers may take"""
START = 250 * 2**20
"""bytes of a worker before it has data: the interpreter and torch"""


def run_workers(search: Search, count: int, show: Show | None = None, show_random: Show | None = None) -> None:
    """Work on a search with so many processes, this one among them, until its trials are over.

    The trial of a worker that died is taken up by another. Raises UsageError for more workers than fit into memory.
    """
    expect_memory(count)
    if count > 1:
        torch.set_num_threads(max(torch.get_num_threads() // count, 1))
    with _children(search.path, count - 1) as children:
        search.work(show, show_random)
        for child in children:
            child.wait()
    search.work(show, show_random)  # what a child left that died


@contextmanager
def _children(folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "lamina.search.workers", str(folder)]
    children = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield children
    finally:
        for child in children:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()


def expect_memory(count: int) -> None:
    """Raise UsageError for more workers than memory: each needs about what this process has now."""
    each, free = max(_resident(), START), int(SHARE * free_bytes())
    fits = 1 + free // each
    if count > fits:
        raise UsageError(
            f"{count} workers need about {count * each / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free: "
            f"--workers {fits} fit"
        )


def _resident() -> int:
    """Bytes of memory that this process has."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return START


def main() -> int:
    """A worker on the search in a folder: ``python -m lamina.search.workers DIR``. Ends where its parent does."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        open_search(sys.argv[1]).work()
    except KeyboardInterrupt:
        return 130
    except LaminaError as error:
        print(f"lamina: worker: {error}", file=sys.stderr)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """Stop cleanly once the process that started this one is gone."""
    import time

    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main())
