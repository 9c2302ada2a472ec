"""Child processes for tests: each in a session of its own, with a time limit, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import CHILD_SECONDS

HERE = Path(__file__).parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script of this folder. One thread each: two children share two cores with whatever else runs."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    """What the child printed; raises where it failed or took too long. Its whole session is ended in any case."""
    try:
        output, _ = child.communicate(timeout=CHILD_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert child.returncode == 0, output
    return output
