"""Trainings that the studio starts: processes of their own, which go on when a browser leaves, or the studio ends.

What runs is the program that is shown. A run is found again by its folder; its lock says whether it is in training.
"""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any

from lamina.data.catalogue import embedded_name
from lamina.errors import LaminaError, UsageError
from lamina.files import write_whole
from lamina.runs.directory import RunDirectory
from lamina.runs.run import open_run
from lamina.studio.actions import is_curve, run_names
from lamina.studio.shown import Shown, call, one_line, run_in

UPLOADS = "uploads"
LOGS = "studio-logs"
MOST = 8
"""trainings at once"""


@dataclass
class Trainings:
    """The trainings of a studio on one folder of runs."""

    runs: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @one_line
    def plan(self, model: str, data: str, options: Mapping[str, Any]) -> Shown:
        """What would be trained, and why so; writes nothing."""
        from lamina.runs.training import prepare

        given = {"data": self.data(data), **options}
        training = prepare(model or None, given, directory=self.runs, dry=True)
        recipe, parts = training.config.recipe, training.parts
        length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs} epochs"
        sizes = {name: len(split) for name, split in training.source.splits.items()}
        rows = [
            {"what": "model", "value": f"{training.config.name}, {training.parameters:,} parameters"},
            {"what": "data", "value": ", ".join(f"{size:,} {name}" for name, size in sizes.items())},
            {"what": "task", "value": training.task_name if parts.kind is not None else "of your own"},
            {"what": "length", "value": f"{length}, batches of {recipe.batch_size}, lr {recipe.lr:g}"},
            *({"what": "note", "value": text} for text in [*training.fitted_notes, *training.notes]),
        ]
        prepared = call("lamina.prepare", model or None, given, dry=True)
        return Shown(code=f"import lamina\n\ntraining = {prepared}\nprint(training.notes)", rows=rows)

    @one_line
    def start(self, model: str, data: str, options: Mapping[str, Any]) -> Shown:
        """Train in a process of its own. The note names the run."""
        from lamina.runs.resuming import short_name

        self.check()
        given = {"data": self.data(data), **options}
        label = re.sub(r"[^\w.-]+", "-", f"{model or 'advised'}-{short_name(given['data'])}").strip("-.")[:80]
        name = f"{label}-{secrets.token_hex(2)}"
        training = call("lamina.train", model or None, **given, name=name, directory=str(self.runs))
        code = f"import lamina\n\n{training}"
        self._run(name, code)
        return Shown(code=code, note=name)

    @one_line
    def resume(self, name: str) -> Shown:
        """Go on where a training was stopped."""
        self.check()
        path = run_in(self.runs, name)
        if RunDirectory(path).is_locked():
            raise UsageError(f"{name} is in training")
        training = call("lamina.train", name=name, directory=str(self.runs), resume=True)
        code = f"import lamina\n\n{training}"
        self._run(name, code)
        return Shown(code=code, note=name)

    @one_line
    def stop(self, name: str) -> Shown:
        """Stop after the step under way, saved. Raises UsageError for a training that this studio did not start."""
        process = self.processes.get(name)
        if process is None or process.poll() is not None:
            locked = (self.runs / name).is_dir() and RunDirectory(run_in(self.runs, name)).is_locked()
            why = "was started elsewhere: stop it there, by Ctrl-C" if locked else "is not in training"
            raise UsageError(f"{name} {why}")
        process.terminate()  # SIGINT may be ignored by what a shell started in the background, and by its children
        return Shown(note=f"{name} is stopping: it saves first")

    def state(self, name: str) -> str:
        """One line on a training: what it is doing, or how it ended."""
        process, path = self.processes.get(name), self.runs / name
        running = process is not None and process.poll() is None
        if not (path / "config.yaml").is_file():
            if running:
                return f"{name} is being prepared: data are read and the model is built"
            return f"{name}: {self.error(name)}" if process is not None else "no such training"
        try:
            rows = open_run(path).history
        except LaminaError as error:
            return str(error)
        last = rows[-1] if len(rows) else {}
        shown = ", ".join(f"{k} {v:.4g}" for k, v in last.items() if k.startswith("validation_") and is_curve(k))
        done = f"{len(rows)} epochs done{f': {shown}' if shown else ''}"
        if running or RunDirectory(path).is_locked():
            return f"{name} is in training, {done}"
        if RunDirectory(path).status().get("finished"):
            return f"{name} is finished, {done}"
        failed = (
            process is not None and process.returncode not in (0, -signal.SIGTERM) and not interrupted(self.error(name))
        )
        return f"{name} is stopped, {done}; it can be resumed" + (f" ({self.error(name)})" if failed else "")

    def error(self, name: str) -> str:
        """The last line that a training that failed wrote, without the name of the exception."""
        log = self.runs / LOGS / f"{name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        return re.sub(r"^lamina\.[\w.]+: ", "", lines[-1]) if lines else "it ended without a word"

    def in_training(self) -> list[str]:
        """The runs in training, of this studio and of others."""
        from lamina.runs.folders import run_folders

        found = [path.name for path in run_folders(self.runs) if RunDirectory(path).is_locked()]
        own = [name for name, process in self.processes.items() if process.poll() is None]
        return list(dict.fromkeys([*own, *found]))

    def unfinished(self) -> list[str]:
        """The runs in training, then those that were stopped and can be resumed."""
        running = self.in_training()
        stopped = [name for name in run_names(self.runs) if name not in running and not self._finished(name)]
        return [*running, *stopped]

    def _finished(self, name: str) -> bool:
        return bool(RunDirectory(self.runs / name).status().get("finished"))

    def data(self, given: str) -> str:
        """The data of a training: an embedded set, or what was uploaded. Raises UsageError for anything else: another
        path of this machine, or a set that would be fetched."""
        name = (given or "").strip()
        if not name:
            raise UsageError("which data? choose a name, or upload a file")
        if embedded_name(name) is not None:
            return name
        try:
            found, uploads = Path(name).resolve(strict=True), (self.runs / UPLOADS).resolve()
        except (OSError, ValueError):  # none, a loop, too long, a NUL
            found = uploads = self.runs
        if uploads not in found.parents:
            raise UsageError(f"{name}: the studio trains on an embedded set, or on what you upload")
        return name

    def check(self) -> None:
        """Raise UsageError for too many at once."""
        if sum(process.poll() is None for process in self.processes.values()) >= MOST:
            raise UsageError(f"{MOST} trainings are under way: stop one, or wait")

    def upload(self, files: list[str]) -> str:
        """Keep uploaded files in the folder of the runs: the path of the one file, or of a folder of all.

        Names keep letters, digits, dots and dashes only, and no folder above.
        """
        folder = self.runs / UPLOADS / secrets.token_hex(4)
        paths = [Path(file) for file in files]
        base = Path(_common(paths)) if len(paths) > 1 else paths[0].parent
        kept = []
        for path in paths:
            parts = [safe_name(part) for part in path.relative_to(base).parts]
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, methodcaller("write", path.read_bytes()))
            kept.append(target)
        return str(kept[0] if len(kept) == 1 else folder)

    def _run(self, name: str, code: str) -> None:
        folder = self.runs / LOGS
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def interrupted(error: str) -> bool:
    """Whether a training ended because it was told to."""
    return error.startswith("KeyboardInterrupt")


def safe_name(name: str) -> str:
    """A file name without what could be a path or markup: ``safe_name("<script>.csv")`` is ``script.csv``."""
    found = re.sub(r"[^\w.-]+", "", name).strip(".")
    return found[-100:] or "file"


def _common(paths: list[Path]) -> str:
    import os

    return os.path.commonpath([path.parent for path in paths])
