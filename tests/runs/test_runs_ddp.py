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
from lamina.cli.main import main
from sample_texts import write_book
from waiting import CHILD_SECONDS

COMMON = ["--precision", "fp64", "--optimizer", "sgd", "--lr", "0.05", "--accelerator", "cpu", "--name", "run"]
ASKED = {
    "table": ["mlp", "--data", "iris", "--epochs", "3", "--batch-size", "16"],
    # rows of text, whose state is carried; in evaluation one process has none
    "text": [
        "lstm-lm-small", "--data", "book.txt", "--epochs", "3", "--batch-size", "8", "--model.hidden-size", "8",
        "--model.embedding-dim", "8",
    ],
    # pairs, of which each process has its share, and another number of tokens
    "pairs": [
        "transformer-small", "--data", "territories", "--epochs", "3", "--batch-size", "32", "--model.width", "8",
        "--model.hidden", "8", "--model.layers", "1", "--model.heads", "2", "--model.dropout", "0",
    ],
}  # fmt: skip


def words(devices: int, case: str) -> list[str]:
    return ["train", *ASKED[case], *COMMON, "--devices", str(devices), "--runs", str(devices)]


def train_with_two(folder: Path, case: str) -> None:
    """In a session of its own: whatever is left when the time is up is killed, every process of it."""
    command = [sys.executable, "-m", "lamina", *words(2, case)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, start_new_session=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=folder,
    )  # fmt: skip
    try:
        said, _ = child.communicate(timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        pytest.fail("two processes did not end")
    assert child.returncode == 0, said
    assert said.count("\ntest: ") == 1, said  # one of them speaks


@pytest.mark.parametrize("case", ASKED)
def test_two_processes_make_the_run_of_one(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_book(tmp_path / "book.txt", lines=60)
    train_with_two(tmp_path, case)
    monkeypatch.chdir(tmp_path)
    assert main(words(1, case)) == 0
    one, two = (lamina.open_run(tmp_path / devices / "run") for devices in "12")
    for name, weight in load_file(one.directory.weights).items():
        difference = (weight - load_file(two.directory.weights)[name]).abs().max().item()
        assert difference <= 1e-10, name
    assert len(one.history) == len(two.history) == 3
    for a, b in zip(one.history, two.history, strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    assert two.directory.report.exists()
    samples = [run.path / "samples.jsonl" for run in (one, two)]
    assert samples[0].exists() == (case != "table")
    if case != "table":
        assert samples[0].read_text() == samples[1].read_text()
