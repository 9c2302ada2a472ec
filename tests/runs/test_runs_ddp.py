"""A run trained by two processes is the run trained by one: weights, metrics, report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from toy_install import environment, installed

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
    # two players, a gradient of a gradient among their losses; noise is what no two processes share
    "players": [
        "toy-gan", "--data", "digits", "--epochs", "3", "--batch-size", "64", "--ema", "0.9", "--clip", "1",
        "--objective.draws", "false",
    ],
    "restored": ["autoencoder", "--data", "digits", "--epochs", "3", "--batch-size", "64"],
    "sides": ["toy-dense", "--task", "toy-unpaired", "--data", "breast-cancer", "--epochs", "3", "--batch-size", "32"],
}  # fmt: skip


def words(devices: int, case: str) -> list[str]:
    return ["train", *ASKED[case], *COMMON, "--devices", str(devices), "--runs", str(devices)]


def train_with_two(folder: Path, case: str) -> None:
    """In a session of its own: whatever is left when the time is up is killed, every process of it."""
    command = [sys.executable, "-m", "lamina", *words(2, case)]
    child = subprocess.Popen(
        command, start_new_session=True, env=environment(folder / "package"), cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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
    monkeypatch.chdir(tmp_path)
    with installed(tmp_path / "package"):
        train_with_two(tmp_path, case)
        assert main(words(1, case)) == 0
        expect_equal(case, *(lamina.open_run(tmp_path / devices / "run") for devices in "12"))


def expect_equal(case: str, one: lamina.Run, two: lamina.Run) -> None:
    for name, weight in load_file(one.directory.weights).items():
        difference = (weight - load_file(two.directory.weights)[name]).abs().max().item()
        assert difference <= 1e-10, name
    assert len(one.history) == len(two.history) == 3
    for a, b in zip(one.history, two.history, strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    assert two.directory.report.exists()
    samples = [run.path / "samples.jsonl" for run in (one, two)]
    assert samples[0].exists() == (case in ("text", "pairs"))
    if samples[0].exists():
        assert samples[0].read_text() == samples[1].read_text()
