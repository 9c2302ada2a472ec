"""A stranger's package brings an architecture, a task with objectives, a recipe, a view and names of weights, by entry
points alone: installed as a wheel in an empty environment it goes through the command line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from wheels import build_wheel, environment

from waiting import CHILD_SECONDS

PROJECT = Path(__file__).with_name("grades")
DRIVER = """
import contextlib, io, json, sys
from lamina.cli.main import main
from lamina.conformance.__main__ import main as conformance

done = {}
for name, (program, words) in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = {"lamina": main, "conformance": conformance}[program](words)
    done[name] = [status, out.getvalue(), err.getvalue()]
json.dump(done, sys.stdout)
"""
"""command lines in one process: most of the time of each would go to importing torch"""
STUDENT = '{"maths": 1.2, "music": -0.3, "sport": 0.1, "sleep": 7.0}'
MARGIN = ("--objective.margin", "0.25")
LINES: dict[str, tuple[str, ...]] = {
    "models": ("models", "grade*"),
    "train help": ("train", "grade-net", "--help"),
    "straight": ("train", "grade-net", "--data", "grades.csv", "--name", "straight", "--epochs", "12", *MARGIN),
    "half": ("train", "grade-net", "--data", "grades.csv", "--name", "half", "--epochs", "6", *MARGIN),
    "resume": ("train", "--name", "half", "--resume", "--epochs", "12"),
    "evaluate": ("evaluate", "straight", "--json"),
    "predict help": ("predict", "straight", "--help"),
    "predict": ("predict", "straight", STUDENT, "--top", "3", "--json"),
    "predict shown": ("predict", "--top", "2", "straight", STUDENT),
    "no option": ("predict", "straight", STUDENT, "--topp", "3"),
    "no top": ("predict", "straight", STUDENT, "--top", "0"),
    "not of evaluate": ("evaluate", "straight", "--top", "3"),
    "no objective": ("train", "grade-net", "--data", "grades.csv", "--objective", "earth-movr"),
    "other objective": (
        "train", "grade-net", "--data", "grades.csv", "--objective", "earth-mover", "--objective.power", "1",
        "--dry-run",
    ),
    "no data": ("train", "grade-net", "--data", "diabetes"),
    "weights": ("train", "grade-net", "--data", "grades.csv", "--weights", "office.pt", "--dry-run"),
    "info": ("info", "straight"),
    "runs": ("runs",),
    "export": ("export", "straight", "--to", "onnx", "--out", "grades.onnx"),
    "exported": ("predict", "grades.onnx", STUDENT, "--json"),
}  # fmt: skip
"""command lines by name"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with grades.csv, and office.pt, weights under the names of the students' office."""
    folder, random = tmp_path_factory.mktemp("here"), np.random.default_rng(0)
    known = random.normal(size=(240, 4))
    known[:, 3] += 7
    grades = np.digitize(known[:, 0] + 0.5 * known[:, 1] + random.normal(0, 0.2, 240), [-1.2, -0.4, 0.4, 1.2]) + 1
    rows = [",".join([*(f"{one:.4f}" for one in row), str(grade)]) for row, grade in zip(known, grades, strict=True)]
    (folder / "grades.csv").write_text("\n".join(["maths,music,sport,sleep,target", *rows]) + "\n")
    shapes = {"fc1.weight": (16, 4), "fc1.bias": (16,), "fc2.weight": (5, 16), "fc2.bias": (5,)}
    torch.save({name: torch.randn(shape) for name, shape in shapes.items()}, folder / "office.pt")
    return folder


@pytest.fixture(scope="module")
def done(here: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Exit status, stdout and stderr of every command line, in an environment of the two wheels."""
    python = environment(here / "env", [wheel, build_wheel(PROJECT, tmp_path_factory.mktemp("grades"))])
    lines: dict[str, Any] = {name: ("lamina", words) for name, words in LINES.items()}
    lines["conformance"] = ("conformance", ("grade-net", "--onnx", "--backend", "eager"))
    found = subprocess.run(
        [str(python), "-c", DRIVER], input=json.dumps(lines), cwd=here, capture_output=True, text=True,
        timeout=CHILD_SECONDS, env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    answers: dict[str, list[Any]] = json.loads(found.stdout)
    return answers


def out_of(done: dict[str, list[Any]], name: str) -> str:
    status, out, err = done[name]
    assert status == 0, err
    return str(out)


def test_it_is_listed(done: dict[str, list[Any]]) -> None:
    assert out_of(done, "models").splitlines()[1].split()[:4] == ["grade-net", "2026", "165", "table"]
    assert done["models"][2] == ""


def test_the_help_shows_its_options(done: dict[str, list[Any]]) -> None:
    train = " ".join(out_of(done, "train help").split())
    assert "insensitive (default: insensitive)" in train
    assert (
        "--objective.margin X of insensitive: grades that the expectation may be off for nothing (default: 0.1)"
        in train
    )
    assert "--objective.power X of earth-mover: how much more large differences count (default: 2.0)" in train
    assert "--epochs N passes over the training data; 10 if neither steps nor images are given (default: 12)" in train
    predict = " ".join(out_of(done, "predict help").split())
    assert "options of ordinal: --top N grades that are listed, the likeliest first (default: 1)" in predict


def test_it_trains_and_is_resumed_to_the_bit(done: dict[str, list[Any]], here: Path) -> None:
    for name in ("straight", "half", "resume"):
        assert "report: runs/" in out_of(done, name)
    straight, resumed = here / "runs/straight", here / "runs/half"
    assert (straight / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    assert (straight / "metrics.csv").read_bytes() == (resumed / "metrics.csv").read_bytes()
    assert json.loads(out_of(done, "evaluate"))["metrics"]["off"] < 0.9, "the middle for all is off by more"
    page = (straight / "report.html").read_text()
    assert "grades off in the mean" in page
    card = json.loads((straight / "card.json").read_text())
    assert (card["task"], card["packages"]) == ("ordinal", {"model": "lamina-grades", "task": "lamina-grades"})
    assert "straight" in out_of(done, "runs")
    assert "tasks" in out_of(done, "info")


def test_it_predicts_with_options_of_its_own(done: dict[str, list[Any]]) -> None:
    (one,) = json.loads(out_of(done, "predict"))
    assert one["grade"] == one["top"][0]
    assert len(one["top"]) == 3
    shown = out_of(done, "predict shown").splitlines()
    assert shown[0].split() == ["item", "grade", "probabilities", "top"]
    assert f"  {', '.join(one['top'][:2])}" in shown[1]


def test_what_is_wrong_is_said_in_its_words(done: dict[str, list[Any]]) -> None:
    told = {
        "no option": "unknown option '--topp'; did you mean '--top'?",
        "no top": "top must be at least 1, got 0",
        "not of evaluate": "unknown option '--top'",
        "no objective": "unknown objective of ordinal 'earth-movr'; did you mean 'earth-mover'?",
        "no data": "grade-net can be trained for ordinal, but 'diabetes' has no classes to put in an order",
    }
    for name, message in told.items():
        status, out, err = done[name]
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert err.startswith(f"lamina: {message}")
    assert "dry run: nothing was trained or written" in out_of(done, "other objective")


def test_its_weights_are_read_by_their_names(done: dict[str, list[Any]]) -> None:
    assert "dry run" in out_of(done, "weights")
    assert "note: starts from 4 tensors of office.pt, named as office names them\n" in done["weights"][2]


def test_it_passes_conformance(done: dict[str, list[Any]]) -> None:
    status, _, err = done["conformance"]
    assert status == 0, err
    assert "FAIL" not in err
    assert "onnx pass" in err


def test_the_exported_file_predicts_as_the_run_does(done: dict[str, list[Any]]) -> None:
    (one,), (exported,) = json.loads(out_of(done, "predict")), json.loads(out_of(done, "exported"))
    assert exported["grade"] == one["grade"]
    assert exported["probabilities"] == pytest.approx(one["probabilities"], abs=1e-5)
