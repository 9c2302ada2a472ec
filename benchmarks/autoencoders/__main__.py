"""Run experiments and write the table of all that were run."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import benchmarks.autoencoders
from benchmarks.autoencoders.experiments import EXPERIMENTS
from benchmarks.autoencoders.laboratory import Laboratory, UnmeasuredError
from benchmarks.measure import write_result


def main() -> None:
    """The table is written anew with each row."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.autoencoders", description=benchmarks.autoencoders.__doc__
    )
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--directory", type=Path, default=Path("runs/autoencoders"), help="where the runs are kept")
    given = parser.parse_args()
    for name in given.experiments:
        if name not in EXPERIMENTS:
            parser.error(f"unknown experiment '{name}': one of {', '.join(EXPERIMENTS)}")
    torch.set_num_threads(1)
    laboratory = Laboratory(given.directory)
    for name in given.experiments or EXPERIMENTS:
        for _ in EXPERIMENTS[name](laboratory):
            write_result("autoencoders", text())


def text() -> str:
    """The table of all experiments that were run, and which were not."""
    lines = [
        (benchmarks.autoencoders.__doc__ or "").strip(),
        "",
        "| what | measured | bar | reached |",
        "|---|---|---|---|",
    ]
    missing, record = [], Laboratory(None)
    for name, experiment in EXPERIMENTS.items():
        try:
            for row in experiment(record):
                reached = {True: "yes", False: "**no**", None: "-"}[row.reached]
                lines.append(f"| {row.what} | {row.measured} | {row.bar} | {reached} |")
        except UnmeasuredError:
            missing.append(name)
    if missing:
        lines += ["", f"Not run, or not whole: {', '.join(missing)}."]
    lines += ["", "Every single measurement, with its settings, CPU seconds and commit: `autoencoders.json`."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
