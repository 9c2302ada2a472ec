"""A leaderboard of models on one data set."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.comparison import Board


def board(directory: Path, models: tuple[str, ...] = ("mlp", "perceptron"), **options: Any) -> Board:
    return lamina.compare("breast-cancer", models, directory=directory, **{"epochs": 2, **options})


def test_validation_chooses_and_the_test_split_is_judged_once(tmp_path: Path) -> None:
    models = ["lstm-classifier", "mlp", "lenet5"]
    found = lamina.compare("digits", models, directory=tmp_path, epochs=1)
    assert found.metric == "accuracy"
    values = [row.validation for row in found.rows if row.validation is not None]
    assert len(values) == 2
    assert values == sorted(values, reverse=True)
    assert [row.test is not None for row in found.rows] == [True, False, False]
    assert found.chosen is not None
    assert lamina.open_run(found.chosen.run).evaluate("test")["accuracy"] == found.chosen.test
    (failed,) = (row for row in found.rows if row.validation is None)
    assert failed.model == "lstm-classifier"
    assert "text" in failed.error
    assert {row.model for row in found.beside} >= {"most frequent class", "logistic regression"}
    assert all(row.test is not None for row in found.beside)


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    first = board(tmp_path, ("mlp",))
    assert first.chosen is not None
    weights = lamina.open_run(first.chosen.run).directory.weights
    before = weights.stat().st_mtime_ns
    second = board(tmp_path, ("mlp", "sigmoid-neuron"))
    assert weights.stat().st_mtime_ns == before
    assert {row.model for row in second.rows} == {"mlp", "sigmoid-neuron"}
    rows = list(csv.DictReader((second.path / "board.csv").open()))
    assert {row["model"] for row in rows} >= {"mlp", "sigmoid-neuron", "logistic regression"}
    assert "Leaderboard" in (second.path / "board.html").read_text()


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": "breast-cancer", "epochs": 4, "batch_size": 32}
    training = lamina.prepare("mlp", options, directory=tmp_path / "compare-breast-cancer", name="mlp")
    events = training.events()
    for event in events:
        if type(event).__name__ == "EpochDone":
            events.close()
            break
    found = board(tmp_path, ("mlp",), epochs=4, batch_size=32)
    assert found.chosen is not None
    run = lamina.open_run(found.chosen.run)
    assert len(run.history) == 4
    whole = lamina.train("mlp", directory=tmp_path / "whole", report=False, **options)
    assert run.directory.weights.read_bytes() == whole.directory.weights.read_bytes()


def test_nothing_to_compare_and_no_time(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        board(tmp_path, ("lenet5",))
    with pytest.raises(UsageError, match="minutes"):
        board(tmp_path, ("mlp",), minutes=0)
    with pytest.raises(UsageError, match="no-such"):
        board(tmp_path, ("no-such-model",))


def test_the_command_line_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--data", "iris", "--models", "mlp", "--steps", "3", "--runs", str(tmp_path), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in told["rows"]] == ["mlp"]
    assert told["metric"] == "accuracy"


def test_models_with_options_of_their_own(tmp_path: Path) -> None:
    models = ("mlp --model.hidden [4]", "mlp --model.hidden [4,3] --lr 0.5", "mlp")
    found = board(tmp_path, models, steps=3, epochs=None)
    runs = {row.model: lamina.open_run(row.run) for row in found.rows}
    assert set(runs) == set(models)
    configs = {model: run.config for model, run in runs.items()}
    assert [list(configs[model].model["hidden"]) for model in models[:2]] == [[4], [4, 3]]
    assert configs[models[1]].recipe.lr == 0.5
    assert len({row.run for row in found.rows}) == 3
    again = board(tmp_path, models, steps=3, epochs=None)
    assert [row.run for row in again.rows] == [row.run for row in found.rows]


@pytest.mark.parametrize(
    "words", ["mlp 5", "mlp --", "mlp --hidden", "mlp --recipe.lr 1", "mlp --lr 0.1 --model.hidden"]
)
def test_options_that_cannot_be_read_stop_before_training(tmp_path: Path, words: str) -> None:
    with pytest.raises(UsageError, match="mlp"):
        board(tmp_path, ("perceptron", words))
    assert not any(tmp_path.iterdir())


def test_the_board_of_a_table_has_rivals(tmp_path: Path) -> None:
    found = lamina.compare("iris", directory=tmp_path, steps=5)
    assert len(found.rows) >= 3
