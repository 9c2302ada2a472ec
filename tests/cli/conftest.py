"""The command line called as a function, and a folder in which it has trained."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import process

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with runs/lenet5-digits in it, one epoch long, and what the process that trained it said."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, process("train", "lenet5", "--data", "digits", "--epochs", "1", cwd=folder)
