"""Interleaved measurement and the result file."""

from __future__ import annotations

import datetime
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

RESULTS = Path(__file__).parent / "results"

Measured = TypeVar("Measured")


def interleaved(sides: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Run every side once a round, ``rounds`` times after one round to warm up, in an order that turns each round.

    Each side returns its own measurement (seconds, bytes, ...).
    """
    names = list(sides)
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for round_ in range(rounds + 1):
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            value = sides[name]()
            if round_:
                found[name].append(value)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round: what disturbed one round disturbed both sides."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def hardware() -> str:
    """The machine in a few words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} threads"


def write_result(what: str, body: str, *arguments: str) -> Path:
    """``results/<what>_<hardware>_<date>.md``: the body under the command, the versions and the machine; what the
    benchmark was given on the command line is in both the name and the command."""
    short = "gpu" if torch.cuda.is_available() else f"cpu{torch.get_num_threads()}"
    date = datetime.date.today().isoformat()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    head = (
        f"# {what}\n\n- command: `{' '.join(['python -m', f'benchmarks.{what}', *arguments])}`\n"
        f"- machine: {hardware()}\n"
        f"- Python {sys.version.split()[0]}, torch {torch.__version__}, commit {commit}, {date}\n\n"
    )
    path = RESULTS / f"{'_'.join([what, *arguments])}_{short}_{date}.md"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(head + body.rstrip() + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))
    return path
