"""Trainings and measurements that are kept: an experiment that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina
from benchmarks.measure import RESULTS

RECORD = RESULTS / "autoencoders.json"
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

    def __init__(self, directory: Path | None, record: Path = RECORD) -> None:
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

    def train(self, model: str | None, settings: Mapping[str, Any]) -> tuple[lamina.Run, float]:
        """A run with these settings and the CPU seconds of its training; opened, where it was trained before."""
        plain = json.dumps([model, settings, where(settings)], sort_keys=True)
        name = f"{model or settings['config']}-{hashlib.sha256(plain.encode()).hexdigest()[:10]}"
        assert self.directory is not None
        folder = self.directory / name
        clock = folder / "cpu_seconds.txt"
        if not clock.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            begin = time.process_time()
            data = {"data": where(settings)} if "data" in settings else {}
            lamina.train(
                model, name=name, directory=self.directory, report=False, accelerator="cpu", **{**settings, **data}
            )
            clock.write_text(f"{time.process_time() - begin:.1f}\n")
        return lamina.open_run(folder), float(clock.read_text())


def where(settings: Mapping[str, Any]) -> str:
    """The data of settings, with the folder of LAMINA_DATA in place of its name."""
    name = str(settings.get("data", ""))
    if name.startswith("$LAMINA_DATA") and not os.environ.get("LAMINA_DATA"):
        sys.exit("autoencoders: set LAMINA_DATA to the folder that holds mnist/ and fashion_mnist/")
    return os.path.expandvars(name)


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
