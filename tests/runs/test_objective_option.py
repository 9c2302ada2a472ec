"""What is minimised, given in every way that there is, kept with the run, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.tasks.kind import Objective

SHORT: dict[str, Any] = {"data": "diabetes", "epochs": 1, "batch_size": 64, "report": False}
WORDS = ["train", "mlp", "--data", "diabetes", "--epochs", "1", "--batch-size", "64", "--name", "run", "--runs", "."]
HUBER = {"name": "huber", "delta": 2}


def minimised(run: lamina.Run) -> tuple[Objective, float]:
    """What the run opened again says, and what its task makes of an error of 3."""
    again = lamina.open_run(run.path)
    assert run.config == again.config
    return again.objective, again.task.cost(torch.zeros(1, 1), torch.full((1, 1), 3.0)).item()


@pytest.mark.parametrize(
    ("given", "cost", "plain"),
    [
        (None, 9.0, "mse"),
        ("mae", 3.0, "mae"),
        ("huber", 2.5, {"name": "huber", "delta": 1.0}),
        ({"name": "mse"}, 9.0, "mse"),
        (HUBER, 4.0, {"name": "huber", "delta": 2.0}),
    ],
)
def test_from_python(tmp_path: Path, given: Any, cost: float, plain: Any) -> None:
    run = lamina.train("mlp", objective=given, directory=tmp_path, **SHORT)
    assert yaml.safe_load((run.path / "config.yaml").read_text())["objective"] == given
    objective, found = minimised(run)
    assert (objective.to_plain(), found) == (plain, cost)
    assert run.task.monitor == (("mae", "min") if given == "mae" else ("rmse", "min"))


@pytest.mark.parametrize(
    "words",
    [
        ["--objective", "huber", "--objective.delta", "2"],
        ["--objective=huber", "--objective.delta=2"],
        ["--objective.delta", "2", "--objective.name", "huber"],
        ["--config", "recipe.yaml"],
        ["--config", "name.yaml", "--objective.delta", "2"],
        ["--config", "other.yaml", "--objective", "huber", "--objective.delta", "2"],
    ],
    ids=" ".join,
)
def test_on_the_command_line_and_in_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, objective in (("recipe", HUBER), ("name", "huber"), ("other", "mae")):
        (tmp_path / f"{file}.yaml").write_text(yaml.safe_dump({"objective": objective}))
    assert main([*WORDS, *words, "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["objective"] == HUBER


def test_the_command_line_trains_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "--objective", "huber", "--objective.delta", "2", "--quiet"]) == 0
    assert minimised(lamina.open_run("run"))[1] == 4.0
    assert main(["train", "--config", "run/config.yaml", "--name", "again", "--runs", ".", "--dry-run"]) == 0


def test_it_is_resumed_with(tmp_path: Path) -> None:
    asked = {**SHORT, "objective": HUBER, "directory": tmp_path}
    whole = lamina.train("mlp", name="whole", **{**asked, "epochs": 2, "schedule": "constant", "warmup": 0.0})
    lamina.train("mlp", name="parts", **asked, schedule="constant", warmup=0.0)
    parts = lamina.train("mlp", name="parts", directory=tmp_path, resume=True, epochs=2, report=False)
    assert parts.history == whole.history
    assert minimised(parts) == minimised(whole)
    with pytest.raises(
        UsageError, match=r"was started with objective=.*huber.*; it cannot be resumed with objective=mae"
    ):
        lamina.train("mlp", name="parts", directory=tmp_path, resume=True, epochs=3, objective="mae")


def test_options_alone_are_those_of_the_models_own_objective(tmp_path: Path) -> None:
    run = lamina.train(
        "lenet5-1998", data="digits", steps=1, objective={"j": 2.5}, directory=tmp_path, report=False
    )  # fmt: skip
    again = lamina.open_run(run.path)
    assert (again.objective.name, again.task.j) == ("rbf-map", 2.5)
    assert again.evaluate() == run.evaluate()


@pytest.mark.parametrize(
    ("model", "data", "objective", "message"),
    [
        (
            "perceptron",
            "breast-cancer",
            "cross-entropy",
            "perceptron is trained by 'perceptron-rule' alone: its output",
        ),
        ("mlp", "diabetes", "hubre", "unknown objective of regression 'hubre'; did you mean 'huber'"),
        ("mlp", "diabetes", {"name": "huber", "dleta": 1}, "unknown option of the objective huber 'dleta'.*'delta'"),
        ("mlp", "diabetes", {"name": "huber", "delta": 0}, "delta must be greater than 0, got 0"),
        ("mlp", "diabetes", {"delta": 2}, "the objective 'mse' has no options, got 'delta'; it is one of 'huber'"),
        ("mlp", "iris", "perceptron-rule", "is for models with a method 'score', which mlp does not have"),
        ("mlp", "iris", {"name": "focal", "gamma": -1}, "gamma must not be negative"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, model: str, data: str, objective: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        lamina.train(model, data=data, objective=objective, directory=tmp_path / "runs")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_the_command_line_refuses_in_the_same_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "perceptron", "--data", "breast-cancer", "--objective", "cross-entropy", "--runs", str(tmp_path)]
    assert main(words) == 2
    assert "perceptron is trained by 'perceptron-rule' alone" in capsys.readouterr().err
