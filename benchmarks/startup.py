"""How long until the command line answers, and what does ``import lamina`` cost?

Whole processes, from start to exit; the cost of the import is the difference to an empty Python process. Median of 15.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import interleaved, write_result


def process(command: Sequence[str]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return time.perf_counter() - start

    return run


def main() -> None:
    """Measure and write the result."""
    lamina = str(Path(sys.executable).with_name("lamina"))
    sides = {
        "python, nothing": process([sys.executable, "-c", "pass"]),
        "import lamina": process([sys.executable, "-c", "import lamina"]),
        "lamina --help": process([lamina, "--help"]),
        "lamina models": process([lamina, "models"]),
        "lamina train lennet5 --data digits (misspelt)": process([lamina, "train", "lennet5", "--data", "digits"]),
        "lamina trian (misspelt)": process([lamina, "trian"]),
    }
    found = {name: statistics.median(times) for name, times in interleaved(sides, rounds=15).items()}
    bars = {"import lamina": "<= 0.1 over nothing"}
    table = "| what | seconds | over nothing | bar |\n|---|---|---|---|\n"
    for name, seconds in found.items():
        bar = bars.get(name, "" if name.startswith("python") else "<= 0.3")
        table += f"| {name} | {seconds:.3f} | {seconds - found['python, nothing']:.3f} | {bar} |\n"
    write_result("startup", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
