"""Storages of trials: a journal file, or any SQL database that Optuna reads."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamina.errors import RunError, UsageError

try:
    import optuna
    from optuna.storages.journal import BaseJournalBackend, JournalStorage
except ImportError:
    raise UsageError("searches need Optuna, which is not installed: pip install 'lamina[search]'") from None

optuna.logging.set_verbosity(optuna.logging.WARNING)

BUSY_SECONDS = 120
"""how long SQLite waits for another process"""


class Journal(BaseJournalBackend):  # type: ignore[misc, unused-ignore]  # Optuna need not be installed
    """An append-only file, a JSON record in each line, for processes that share it.

    The lock is the operating system's and ends with its process. A line that a killed process, or a full disk, left
    unfinished is cut before the next is written, and is never read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = {0: 0}  # where the record of each number begins
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            raise RunError(f"cannot write the storage {path}: {error.strerror}") from error

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from a number on, in order."""
        number = max(known for known in self._offsets if known <= log_number_from)
        with open(self.path, "rb") as file:
            file.seek(self._offsets[number])
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offsets[number + 1] = self._offsets[number] + len(line)
                if number >= log_number_from:
                    yield _record(line, self.path, number)
                self._offsets.pop(number if number > 0 else -1, None)
                number += 1

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records, all of them or none. Raises RunError where they cannot be written."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            with self._locked() as file:
                end = file.seek(0, os.SEEK_END)
                try:
                    left = text.encode()
                    while left:  # of what does not fit on the disk a part is written, and no error is raised
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(end)
                    raise
        except OSError as error:
            raise RunError(f"cannot write the storage {self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Any]:
        """The file, locked, without an unfinished last line."""
        with open(self.path, "ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_unfinished_line(file)
            yield file


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "op_code" not in record:
        raise RunError(
            f"{path}, line {number + 1}, is not a record of a search: the storage is damaged, or another file"
        )
    return record


def _cut_unfinished_line(file: Any) -> None:
    size = file.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        begin = max(end - 4096, 0)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            end = begin + place + 1
            break
        end = begin
    if end < size:
        file.truncate(end)
    file.seek(0, os.SEEK_END)


def is_url(storage: str) -> bool:
    """Whether a storage is a database, not a journal file."""
    return "://" in storage


def open_storage(storage: str) -> optuna.storages.BaseStorage:
    """A storage, made if it is not there: the path of a journal file, or an SQL URL (``sqlite:///trials.db``).

    Raises RunError for one that cannot be read or written, UsageError for a URL that is none.
    """
    if re.fullmatch(r"sqlite(\+\w+)?://(/?:memory:.*)?/?", storage):
        raise UsageError(
            f"the storage '{storage}' is in memory and ends with this process: name a file, such as sqlite:///trials.db"
        )
    if not is_url(storage):
        path = Path(storage).expanduser()
        if path.is_dir():
            raise UsageError(f"the storage {path} is a folder: name a file in it, or an SQL URL")
        if path.exists() and not path.is_file():
            raise UsageError(f"the storage {path} is no file: name one, or an SQL URL")
        return JournalStorage(Journal(path))
    with storage_errors(storage), _alone(storage):
        waits = {"connect_args": {"timeout": BUSY_SECONDS}} if storage.startswith("sqlite") else {}
        database = optuna.storages.RDBStorage(storage, engine_kwargs=waits)
        return optuna.storages.get_storage(database)


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Errors of a database as RunError, in one line."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"'{storage}' is no SQL URL ({_first_line(error)}): such as sqlite:///trials.db") from error
    except ImportError as error:
        missing = error.__cause__ or error
        raise UsageError(f"the storage {_without_password(storage)} needs a driver: {_first_line(missing)}") from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        seen: BaseException = error
        while seen.__cause__ is not None:
            seen = seen.__cause__
        raise RunError(f"the storage {_without_password(storage)} cannot be used: {_first_line(seen)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextlib.contextmanager
def _alone(storage: str) -> Iterator[None]:
    """One process at a time makes the tables of an SQLite file: of several at once all but one would fail."""
    from sqlalchemy.engine import make_url

    database = make_url(storage).database
    if not storage.startswith("sqlite") or not database or database == ":memory:":
        yield
        return
    try:
        with exclusive(Path(f"{database}.lock")):
            yield
    except OSError as error:
        raise RunError(f"cannot write beside the storage {database}: {error.strerror}") from error


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock of the operating system; waits for another process that does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Lock:
    """A lock of the operating system that is taken at once or not at all; it ends with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def take(self) -> bool:
        """Whether it could be taken."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self._path, "a")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
