"""Run every benchmark, each in a process of its own: ``python -m benchmarks.run [NAME ...]``."""

from __future__ import annotations

import os
import subprocess
import sys

ALL = ("step_overhead", "startup", "memory")


def main() -> None:
    """Run the benchmarks named, or all."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    for name in sys.argv[1:] or ALL:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True, env=environment)


if __name__ == "__main__":
    main()
