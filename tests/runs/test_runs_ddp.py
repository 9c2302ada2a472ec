"""A run trained by two processes is the run trained by one: weights, metrics, report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

import lamina

ASKED = [
    "mlp", "--data", "iris", "--epochs", "3", "--batch-size", "16", "--precision", "fp64", "--optimizer", "sgd",
    "--lr", "0.05",
]  # fmt: skip


def train(devices: int, folder: Path) -> lamina.Run:
    """In a session of its own: whatever is left when the time is up is killed, every process of it."""
    command = [sys.executable, "-m", "lamina", "train", *ASKED, "--devices", str(devices), "--runs", str(folder)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, start_new_session=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = child.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        pytest.fail(f"{devices} processes did not end")
    assert child.returncode == 0, said
    assert said.count("test: accuracy") == 1, said  # one of them speaks
    return lamina.open_run(folder / "mlp-iris")


def test_two_processes_make_the_run_of_one(tmp_path: Path) -> None:
    one, two = train(1, tmp_path / "1"), train(2, tmp_path / "2")
    for name, weight in load_file(one.directory.weights).items():
        difference = (weight - load_file(two.directory.weights)[name]).abs().max().item()
        assert difference <= 1e-10, name
    assert len(one.history) == len(two.history) == 3
    for a, b in zip(one.history, two.history, strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    assert two.directory.report.exists()
