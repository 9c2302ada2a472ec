"""The folder of a run: its files and its lock. No run overwrites another."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml

from lamina.data.modality import load_preprocess, preprocess_files
from lamina.data.protocols import Preprocess
from lamina.errors import RunError, UsageError
from lamina.files import write_whole
from lamina.options.documents import read_yaml
from lamina.training.checkpoints import Checkpoints

FORMAT = 1

_LOCKS: set[IO[str]] = set()


def _release_in_child() -> None:
    """A fork shares its parent's locks: a data worker that outlives a killed training would keep the run locked."""
    for file in _LOCKS:
        file.close()
    _LOCKS.clear()


os.register_at_fork(after_in_child=_release_in_child)


class RunDirectory:
    """Paths and small files of one run.

    ``config.yaml``: the configuration; ``model.safetensors``: the best weights; ``fitted.safetensors``: what
    ``Task.finalize`` fitted for them; ``card.json``, ``data.json``, ``preprocess.json`` and, for text,
    ``tokenizer.json``: what is needed to use them; ``checkpoints/``; ``metrics.csv``: a row for each epoch;
    ``samples.jsonl``: text generated after each epoch; ``samples/``: pictures (``epoch-0007.png``);
    ``status.json``: how training ended; ``results.json``: the metrics that ``report.html`` shows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.weights = path / "model.safetensors"
        self.fitted = path / "fitted.safetensors"
        self.metrics = path / "metrics.csv"
        self.samples = path / "samples.jsonl"
        self.pictures = path / "samples"
        self.report = path / "report.html"

    @property
    def name(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, parent: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> RunDirectory:
        """A new run, ``name`` or ``name-2``, ``name-3``, ... where that is taken.

        ``files`` are there from its first moment: a killed process leaves no half-made run behind. Raises UsageError
        for a name that cannot be a folder's, RunError where nothing can be written.
        """
        check_name(name)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for stale in parent.glob(f".{name}.*.new"):
                _remove_if_dead(stale)
            draft = parent / f".{name}.{os.getpid()}.new"
            draft.mkdir()
        except OSError as error:
            raise RunError(f"cannot make a run in {parent}: {error.strerror}") from error
        try:
            for file, content in files.items():
                RunDirectory(draft).write(file, content)
        except RunError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        number = 1
        while True:
            path = parent / (name if number == 1 else f"{name}-{number}")
            try:
                if not path.exists():
                    os.rename(draft, path)
                    return cls(path)
            except OSError as error:  # another process took the name in the meantime
                if not path.exists():
                    raise RunError(f"cannot make the run {path}: {error.strerror}") from error
            number += 1

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Raises UsageError for a folder that is not a run."""
        if not path.exists():
            raise UsageError(f"no such run: {path}")
        if not (path / "config.yaml").is_file():
            raise UsageError(f"{path} is not a run: it has no config.yaml")
        return cls(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for training; raises RunError where another process does.

        The lock is the operating system's: it ends with the process, however that ends.
        """
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"{self.path} is being trained by another process") from None
            _LOCKS.add(file)
            try:
                yield
            finally:
                _LOCKS.discard(file)

    def is_locked(self) -> bool:
        """Whether a process is training the run now."""
        try:
            with self.locked():
                return False
        except RunError:
            return True

    def expect_weights(self) -> None:
        """Raise RunError for a run whose first epoch is not done."""
        if self.weights.is_file():
            return
        if self.is_locked():
            raise RunError(f"{self.path} has no weights yet: its first epoch is being trained")
        why = f"it was stopped before its first epoch was done; lamina train --name {self.path.name} --resume goes on"
        raise RunError(f"{self.path} has no weights yet: {why}")

    def status(self) -> dict[str, Any]:
        """How the last training of the run ended; empty where it was killed before it ended, or never began."""
        return self.read("status.json") if (self.path / "status.json").exists() else {}

    def results(self) -> dict[str, Any]:
        """The metrics of the last report, {"split": ..., "metrics": {...}}; empty where there is none of these
        weights."""
        return self.read("results.json") if (self.path / "results.json").exists() else {}

    def write(self, file: str, content: Mapping[str, Any]) -> None:
        """A small JSON or YAML file, whole or not at all."""
        if file.endswith(".yaml"):
            text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.path / file, lambda handle: handle.write(text.encode()))

    def read(self, file: str) -> dict[str, Any]:
        """Raises RunError for a file that is missing or not of this format."""
        path = self.path / file
        try:
            text = path.read_text(encoding="utf-8")
            content = read_yaml(text, file) if file.endswith(".yaml") else json.loads(text)
        except FileNotFoundError:
            raise RunError(f"{self.path} is incomplete: it has no {file}") from None
        except (UsageError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        if not isinstance(content, dict):
            raise RunError(f"{path} cannot be read: it is not a mapping")
        if file == "config.yaml" and content.get("format") != FORMAT:
            raise RunError(f"{path} has format {content.get('format')}; this version of lamina reads {FORMAT}")
        return content

    def preprocess(self) -> Preprocess:
        """The saved preprocessing. Raises RunError where it is missing, damaged or does not match."""
        names = preprocess_files(self.read("preprocess.json"))
        return load_preprocess({name: self.read(name) for name in names})

    def add_row(self, row: Mapping[str, float]) -> None:
        """Append a row to metrics.csv, its values under the columns of their names; a new name adds a column."""
        columns = self._columns()
        new = [name for name in row if name not in columns]
        try:
            if new:
                self._add_columns([*columns, *new])
            with open(self.metrics, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([repr(row[name]) if name in row else "" for name in [*columns, *new]])
        except OSError as error:
            raise RunError(f"cannot write {self.metrics}: {error.strerror}") from error

    def rows(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, without empty cells."""
        return [{name: float(value) for name, value in row.items() if value} for row in self._cells()]

    def _columns(self) -> list[str]:
        if not self.metrics.exists():
            return []
        with open(self.metrics, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])

    def _cells(self) -> list[dict[str, str]]:
        if not self.metrics.exists():
            return []
        with open(self.metrics, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, restval=""))
        # a file from before columns were added may have rows longer than its first
        return [{name: value for name, value in row.items() if name is not None} for row in rows]

    def _add_columns(self, columns: Sequence[str]) -> None:
        """Write the file anew with more columns, the cells of the rows before empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._cells())
        write_whole(self.metrics, lambda file: file.write(text.getvalue().encode()))

    def add_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append lines to samples.jsonl."""
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            with open(self.samples, "a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            raise RunError(f"cannot write {self.samples}: {error.strerror}") from error

    def add_picture(self, epoch: int, data: bytes) -> None:
        """Write the picture of an epoch. Raises RunError where it cannot be written."""
        try:
            self.pictures.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {self.pictures}: {error.strerror}") from error
        write_whole(self.pictures / f"epoch-{epoch:04}.png", lambda file: file.write(data))

    def epoch_pictures(self) -> dict[int, Path]:
        """The pictures by epoch."""
        return {int(path.stem.removeprefix("epoch-")): path for path in sorted(self.pictures.glob("epoch-*.png"))}

    def keep_rows(self, count: int) -> None:
        """Drop the rows after the first ``count``, and the samples of their epochs: those written between a checkpoint
        and the end of its process."""
        for epoch, path in self.epoch_pictures().items():
            if epoch > count:
                path.unlink()
        if self.samples.exists():
            lines = self.samples.read_bytes().splitlines(keepends=True)
            known = b"".join(line for line in lines if line.endswith(b"\n") and json.loads(line)["epoch"] <= count)
            write_whole(self.samples, lambda handle: handle.write(known))
        if self.metrics.exists():
            lines = self.metrics.read_bytes().splitlines(keepends=True)
            kept = b"".join(lines[: count + 1]) if count else b""
            write_whole(self.metrics, lambda handle: handle.write(kept))

    def remove_temporaries(self) -> None:
        """Remove what a killed process left half written."""
        self.checkpoints.remove_temporaries()
        for path in (*self.path.glob(".*.tmp"), *self.pictures.glob(".*.tmp")):
            path.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be the name of a run."""
    if not re.fullmatch(r"[\w][\w.+@ -]*", name):
        raise UsageError(f"'{name}' cannot be the name of a run: use letters, digits, '-', '_', '.'")


def _remove_if_dead(draft: Path) -> None:
    """Remove the draft of a run whose process is gone."""
    pid = draft.name.split(".")[-2]
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        shutil.rmtree(draft, ignore_errors=True)
    except (PermissionError, ValueError):
        return
