"""The command line called as a function, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.cli.main import main

Called = tuple[int, str, str]


@pytest.fixture
def lamina(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Called]:
    """``lamina("models", "--json")`` in an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Called:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


def process(*words: str, cwd: Path, python: tuple[str, ...] = ("-m", "lamina")) -> subprocess.CompletedProcess[str]:
    """The same in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *python, *words], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "xterm"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    """A folder with runs/lenet5-digits in it, one epoch long, and what the process that trained it said."""
    folder = tmp_path_factory.mktemp("trained")
    yield folder, process("train", "lenet5", "--data", "digits", "--epochs", "1", cwd=folder)
