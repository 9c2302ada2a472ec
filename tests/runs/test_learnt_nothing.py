"""A model whose predictions are constant, or no better than the majority or the mean, is said so: in the terminal, in
the report and in the metrics. A healthy one is not."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina.cli.main import main

Capture = pytest.CaptureFixture[str]
SAID = "split the model "


def write(path: Path, rows: list[str]) -> str:
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def imbalanced(folder: Path, separable: bool) -> str:
    """Nine to one; the column says which, or nothing."""
    rng = np.random.default_rng(0)
    rows = ["x,y,label"]
    for i in range(400):
        rare = i % 10 == 0
        rows.append(f"{rng.normal() + 6 * (rare and separable):.3f},{rng.normal():.3f},{'rare' if rare else 'often'}")
    return write(folder / f"{separable}.csv", rows)


def labels(folder: Path, separable: bool) -> str:
    rng = np.random.default_rng(0)
    rows = ["x,y,tags"]
    for _ in range(300):
        x, y = rng.normal(size=2)
        tags = [name for name, at in (("a", x), ("b", y)) if at > 0] or ["c"]
        x, y = (x, y) if separable else rng.normal(size=2)
        rows.append(f"{x:.3f},{y:.3f},{'|'.join(tags)}")
    return write(folder / f"tags-{separable}.csv", rows)


def train(folder: Path, *words: str) -> tuple[str, ...]:
    return ("train", "mlp", *words, "--runs", str(folder), "--name", "run")


def said(capture: Capture) -> list[str]:
    return [line for line in capture.readouterr().err.splitlines() if SAID in line]


BAD: dict[str, Any] = {
    "no rate": lambda folder: ["--data", "digits", "--limit", "300", "--lr", "1e-12", "--epochs", "2"],
    "majority": lambda folder: ["--data", imbalanced(folder, False), "--epochs", "6", "--target", "label"],
    "regression": lambda folder: ["--data", "diabetes", "--lr", "1e-12", "--epochs", "2"],
    "labels": lambda folder: ["--data", labels(folder, False), "--epochs", "3", "--target", "tags", "--lr", "1e-12"],
}  # fmt: skip
GOOD: dict[str, Any] = {
    "classes": lambda folder: ["--data", "iris", "--lr", "0.02", "--epochs", "10"],
    "imbalanced": lambda folder: ["--data", imbalanced(folder, True), "--epochs", "10", "--target", "label"],
    "regression": lambda folder: ["--data", "diabetes", "--epochs", "20"],
    "labels": lambda folder: ["--data", labels(folder, True), "--epochs", "20", "--target", "tags", "--lr", "0.02"],
}


@pytest.mark.parametrize("case", BAD)
def test_it_is_said_everywhere(case: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([*train(tmp_path, *BAD[case](tmp_path), "--batch-size", "16")]) == 0
    assert len(said(capsys)) == 1
    run = lamina.open_run(tmp_path / "run")
    metrics = run.evaluate()
    assert metrics["beats_baseline"] == 0
    assert all(row["validation_beats_baseline"] == 0 for row in run.history if row["best"])
    assert SAID in run.directory.report.read_text()
    assert main(["evaluate", str(run.path), "--split", "validation"]) == 0
    assert len(said(capsys)) == 1
    assert main(["evaluate", str(run.path), "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert SAID in note


@pytest.mark.parametrize("case", GOOD)
def test_a_healthy_model_is_not_doubted(case: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([*train(tmp_path, *GOOD[case](tmp_path), "--batch-size", "16")]) == 0
    assert said(capsys) == []
    run = lamina.open_run(tmp_path / "run")
    assert run.evaluate()["beats_baseline"] == 1
    assert SAID not in run.directory.report.read_text()
    assert main(["evaluate", str(run.path)]) == 0
    assert said(capsys) == []


def test_in_python_it_is_a_warning(tmp_path: Path) -> None:
    options: dict[str, Any] = {"directory": tmp_path, "report": False, "epochs": 2, "batch_size": 16}
    with pytest.warns(UserWarning, match="always predicting the most frequent class"):
        lamina.train("mlp", data="digits", limit=300, lr=1e-12, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lamina.train("mlp", data="iris", lr=0.02, **{**options, "epochs": 10})


def test_a_language_model_that_says_one_token(tmp_path: Path, capsys: Capture) -> None:
    text = write(tmp_path / "text.txt", ["the cat sat on the mat and the dog ran to the tree"] * 60)
    small = ["--model.hidden-size", "24", "--model.embedding-dim", "24", "--model.dropout", "0", "--batch-size", "4"]
    words = ["train", "lstm-lm-small", "--data", text, *small, "--window", "16", "--runs", str(tmp_path)]
    assert main([*words, "--name", "bad", "--epochs", "1", "--lr", "1e-12"]) == 0
    assert len(said(capsys)) == 1
    learns = ["--optimizer", "adam", "--lr", "0.03", "--schedule", "constant", "--weight-decay", "0", "--clip", "1"]
    assert main([*words, "--name", "good", "--epochs", "12", *learns]) == 0
    assert said(capsys) == []
    assert lamina.open_run(tmp_path / "good").evaluate()["beats_baseline"] == 1


def test_the_facts_are_not_to_be_monitored(tmp_path: Path, capsys: Capture) -> None:
    for name in ("baseline", "beats_baseline", "baseline_accuracy"):
        assert main([*train(tmp_path, "--data", "iris", "--monitor", name)]) == 2
        assert "monitor" in capsys.readouterr().err


def test_each_fold_is_judged(tmp_path: Path, capsys: Capture) -> None:
    words = train(tmp_path, "--data", "digits", "--limit", "300", "--lr", "1e-12", "--epochs", "1", "--folds", "2")
    assert main([*words, "--batch-size", "16"]) == 0
    assert [line.split(":")[1] for line in said(capsys)] == [" fold 1", " fold 2"]
