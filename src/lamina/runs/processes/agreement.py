"""What all processes of a training must have in common: versions, configuration, data, and the run's folder."""

from __future__ import annotations

import hashlib
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from lamina.data.source import Source
from lamina.errors import RunError
from lamina.files import write_whole
from lamina.runs.build import Parts
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.training.processes import agreed, current
from lamina.version import __version__

MAY_DIFFER = ("data", "workers", "accelerator")
"""options that may differ between processes: the same data may be at another place"""
SHARED_WITHIN = 10.0
"""seconds within which a file that one machine wrote is seen by the others"""


def facts(config: TrainConfig, source: Source, parts: Parts, resumed: RunDirectory | None) -> dict[str, str]:
    """What must be the same in all processes, by name; empty where there is one."""
    if current().world == 1:
        return {}
    spec = source.spec
    found = {
        "the version of lamina": f"{__version__} (code {_code()})",
        "the version of torch": torch.__version__,
        "the version of Python": platform.python_version(),
        "a run that is": "new" if resumed is None else f"resumed from {_latest(resumed)}",
        "data with hash": f"{_hash(spec.fingerprint)} ({', '.join(f'{name} {n}' for name, n in spec.sizes.items())})",
    }
    options = {f"the option {key}": repr(value) for key, value in config.to_dict().items() if key not in MAY_DIFFER}
    shapes = [(name, str(value.dtype), tuple(value.shape)) for name, value in parts.model.state_dict().items()]
    return {**found, **options, "a model with hash": _hash(repr(shapes))}


def begin(parent: Path, name: str, files: Callable[[], Mapping[str, Mapping[str, Any]]]) -> RunDirectory:
    """A new run, made by the first process and seen by all. Raises RunError in all where that fails."""
    group, made = current(), None
    with agreed():
        if group.rank == 0:
            made = RunDirectory.create(parent, name, files())
    # each machine may see the folder of runs at a place of its own
    path = parent / group.gather(None if made is None else made.name)[0]
    try:
        return seen_by_all(RunDirectory(path))
    except RunError:
        if made is not None:
            shutil.rmtree(made.path, ignore_errors=True)
        raise


def seen_by_all(directory: RunDirectory) -> RunDirectory:
    """The run's folder, the same for all processes. Raises RunError in all where one does not see it."""
    group = current()
    if group.world == 1:
        return directory
    mark = directory.path / f".seen-{group.gather(secrets.token_hex(8))[0]}.tmp"
    try:
        with agreed():
            if group.rank == 0:
                write_whole(mark, lambda file: file.write(b""))
        with agreed():
            _expect(mark, directory.path)
    finally:
        if group.rank == 0:
            mark.unlink(missing_ok=True)
    return directory


def _expect(mark: Path, folder: Path) -> None:
    end = time.monotonic() + min(SHARED_WITHIN, current().timeout)
    while not mark.exists():
        if time.monotonic() > end:
            raise RunError(
                f"the run's folder {folder.absolute()} is not that of {current().name(0)}: all machines must see the "
                "same one; name a folder on a file system that they share with --runs"
            )
        time.sleep(0.05)


def _latest(directory: RunDirectory) -> str:
    latest = directory.checkpoints.latest()
    return "its beginning" if latest is None else latest.name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _code() -> str:
    """A hash of the package's own files: an installation from a working copy has no version of its own."""
    root = Path(str(resources.files("lamina")))
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
