"""A run killed twenty times and resumed each time is the uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import CHILD_SECONDS

CHILD = Path(__file__).with_name("kill_child.py")


@pytest.mark.parametrize("case", ["memory", "stream-0", "stream-2"])
def test_twenty_kills_leave_no_trace(case: str, tmp_path: Path) -> None:
    """Dropout, batch norm, accumulation, augmentation, cosine schedule, EMA; held in memory and streamed."""
    done = subprocess.run(
        [sys.executable, str(CHILD), case, str(tmp_path), "20"],
        capture_output=True, text=True, timeout=CHILD_SECONDS, env={**os.environ, "OMP_WAIT_POLICY": "passive"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    counts = dict(word.split("=") for word in done.stdout.split()[:3])
    assert counts["different"] == "0", done.stdout
    assert counts["kills"] == "20"
    assert int(counts["distinct"]) >= 10, "the kills fell too close together to prove anything: " + done.stdout
