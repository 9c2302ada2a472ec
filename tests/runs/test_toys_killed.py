"""Another package's models and tasks, killed with SIGKILL and resumed, from Python and on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toy_install import environment, write_distribution

from waiting import CHILD_SECONDS

CHILD = Path(__file__).with_name("kill_child.py")
CASES = ["players", "players-by-command", "sides", "sides-by-command"]
KILLS = 4


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    """Players: three steps of the critic for one of the generator, rates of their own, an average of one of them, noise
    drawn in training and evaluation. Sides: two streams of unequal length."""
    write_distribution(tmp_path / "package")
    done = subprocess.run(
        [sys.executable, str(CHILD), ",".join(CASES), str(tmp_path), "20", str(KILLS)],
        capture_output=True, text=True, timeout=CHILD_SECONDS, env=environment(tmp_path / "package"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("kills=")]
    assert len(lines) == len(CASES)
    for line in lines:
        counts = dict(word.split("=") for word in line.split()[:3])
        assert counts["different"] == "0", line
        assert counts["kills"] == str(KILLS)
        assert int(counts["distinct"]) >= KILLS - 1, "the kills fell too close together to prove anything: " + line
