"""``toy_package`` installed as pip would, for the length of a test, and for the processes that a test starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamina import registry
from lamina.runs.views.table import VIEWS
from lamina.tasks.table import TASKS

HERE = Path(__file__).parent
POINTS = """[lamina.models]
toy_package = toy_package
[lamina.tasks]
toy-adversarial = toy_package:ADVERSARIAL
toy-unpaired = toy_package:UNPAIRED
toy-autoencoding = toy_package:AUTOENCODING
"""


def write_distribution(folder: Path) -> None:
    """What says that the package is installed: its module lies beside this file."""
    facts = folder / "toy_package-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_package\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(POINTS)


def environment(folder: Path) -> dict[str, str]:
    """For a process in which the package, written into ``folder``, is installed."""
    path = os.pathsep.join(filter(None, (str(folder), str(HERE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """In this process, until the block ends."""
    write_distribution(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        _look_again()
        yield
    _look_again()


def _look_again() -> None:
    for cache in (registry._extra, registry._cards, registry._names):
        cache.cache_clear()
    for table in (TASKS, VIEWS):
        table.forget()
