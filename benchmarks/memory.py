"""How much memory does LeNet-5 on MNIST take on the CPU?

One epoch through the command line, in a process of its own; the greatest resident size that the system recorded for it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import write_result


def main() -> None:
    """Measure and write the result. Needs MNIST at ``$LAMINA_DATA/mnist``."""
    data = os.environ.get("LAMINA_DATA")
    if not data:
        sys.exit("memory: set LAMINA_DATA to the folder that holds mnist/")
    lamina = str(Path(sys.executable).with_name("lamina"))
    with tempfile.TemporaryDirectory() as folder:
        command = [lamina, "train", "lenet5", "--data", f"{data}/mnist", "--epochs", "1", "--runs", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    table = f"| what | peak resident MB | bar |\n|---|---|---|\n| lamina train lenet5 on MNIST | {peak:.0f} | < 900 |\n"
    write_result("memory", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
