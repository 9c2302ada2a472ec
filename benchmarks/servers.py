"""A run served by a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    address: str
    pid: int

    def memory(self) -> int:
        """Bytes that the process holds."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def served(run: Path, *options: str) -> Iterator[Served]:
    """``lamina serve`` on a free port; ended by SIGTERM, which must be a success."""
    words = [sys.executable, "-m", "lamina", "serve", str(run), "--port", "0", "--json", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            if not line:
                sys.exit(f"the server of {run} did not start")
            text += line
        yield Served(json.loads(text)["at"], process.pid)
        process.send_signal(signal.SIGTERM)
        if process.wait(120) != 0:
            sys.exit(f"the server of {run} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
