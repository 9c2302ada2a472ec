"""Trainings and measurements that are kept: an experiment that was interrupted goes on where it was."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lamina
from benchmarks.measure import RESULTS, write_result
from lamina.training.events import EpochDone

Values = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    bar: str
    reached: bool | None
    """None: there is no bar"""


class UnmeasuredError(LookupError):
    """A measurement that was not made yet."""


class Laboratory:
    """``directory`` keeps the runs, ``record`` what was measured, with the settings and the commit; without a directory
    nothing is measured anew."""

    def __init__(self, directory: Path | None, record: Path) -> None:
        self.directory, self.record = directory, record
        self.measurements: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}

    def measured(self, name: str, settings: Mapping[str, Any], measure: Callable[[], Values]) -> Values:
        """What ``measure`` returns; as it was, where it was measured with these settings. Raises UnmeasuredError."""
        plain = json.loads(json.dumps(settings))
        found = self.measurements.get(name)
        if found is None or found["settings"] != plain:
            if self.directory is None:
                raise UnmeasuredError(name)
            begin = time.process_time()
            values = {key: float(value) for key, value in measure().items()}
            seconds = round(time.process_time() - begin, 1)
            found = {"settings": plain, "values": values, "cpu_seconds": seconds, "commit": _commit()}
            self.measurements[name] = found
            self.record.parent.mkdir(exist_ok=True)
            self.record.write_text(json.dumps(self.measurements, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(f"{name}: {values}, {seconds:.0f} CPU seconds", flush=True)
        values = found["values"]
        return dict(values)

    def train(
        self, model: str | None, settings: Mapping[str, Any], limit: float | None = None
    ) -> tuple[lamina.Run, float]:
        """A run with these settings and the CPU seconds of its training; opened, where it was trained before. With a
        ``limit`` it ends with the first epoch that is done after so many CPU seconds."""
        plain = json.dumps([model, settings, where(settings)], sort_keys=True)
        name = f"{model or settings.get('config', 'advised')}-{hashlib.sha256(plain.encode()).hexdigest()[:10]}"
        assert self.directory is not None
        folder = self.directory / name
        clock = folder / "cpu_seconds.txt"
        if not clock.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            begin = time.process_time()
            data = {"data": where(settings)} if "data" in settings else {}
            options = {"accelerator": "cpu", **settings, **data}
            if limit is None:
                lamina.train(model, name=name, directory=self.directory, report=False, **options)
            else:
                _train_within(limit, begin, model, name, self.directory, options)
            clock.write_text(f"{time.process_time() - begin:.1f}\n")
        return lamina.open_run(folder), float(clock.read_text())


def _train_within(
    limit: float, begin: float, model: str | None, name: str, directory: Path, options: Mapping[str, Any]
) -> None:
    given = dict(options)
    given["model"] = given.pop("model_options", {})
    training = lamina.prepare(model, given, config=given.pop("config", None), name=name, directory=directory)
    with closing(training.events()) as events:
        for event in events:
            if isinstance(event, EpochDone) and time.process_time() - begin > limit:
                break


def where(settings: Mapping[str, Any]) -> str:
    """The data of settings, with the folder of LAMINA_DATA in place of its name."""
    name = str(settings.get("data", ""))
    if name.startswith("$LAMINA_DATA") and not os.environ.get("LAMINA_DATA"):
        sys.exit("set LAMINA_DATA to the folder that holds mnist/ and fashion_mnist/")
    return os.path.expandvars(name)


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


Experiments = Mapping[str, Callable[[Laboratory], Iterator[Row]]]


def main(name: str, description: str, experiments: Experiments) -> None:
    """The command line of a benchmark: run experiments and write the table of all that were run, anew with each row."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(experiments))
    parser.add_argument("--directory", type=Path, default=Path("runs") / name, help="where the runs are kept")
    given = parser.parse_args()
    for experiment in given.experiments:
        if experiment not in experiments:
            parser.error(f"unknown experiment '{experiment}': one of {', '.join(experiments)}")
    torch.set_num_threads(1)
    laboratory = Laboratory(given.directory, RESULTS / f"{name}.json")
    for experiment in given.experiments or experiments:
        for _ in experiments[experiment](laboratory):
            write_result(name, table(name, description, experiments))


def table(name: str, description: str, experiments: Experiments) -> str:
    """All experiments that were run, and which were not."""
    lines = [description.strip(), "", "| what | measured | bar | reached |", "|---|---|---|---|"]
    missing, record = [], Laboratory(None, RESULTS / f"{name}.json")
    for experiment, rows in experiments.items():
        try:
            for row in rows(record):
                reached = {True: "yes", False: "**no**", None: "-"}[row.reached]
                lines.append(f"| {row.what} | {row.measured} | {row.bar} | {reached} |")
        except UnmeasuredError:
            missing.append(experiment)
    if missing:
        lines += ["", f"Not run, or not whole: {', '.join(missing)}."]
    lines += ["", f"Every single measurement, with its settings, CPU seconds and commit: `{name}.json`."]
    return "\n".join(lines)
