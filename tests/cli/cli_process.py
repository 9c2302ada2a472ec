"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from waiting import CHILD_SECONDS


def process(*words: str, cwd: Path, python: tuple[str, ...] = ("-m", "lamina")) -> subprocess.CompletedProcess[str]:
    """Run ``lamina`` with these words, or a fresh interpreter with other arguments, in the folder ``cwd``."""
    return subprocess.run(
        [sys.executable, *python, *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS,
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "xterm"}
