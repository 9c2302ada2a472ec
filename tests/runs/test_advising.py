"""A model for the data: the rules, training without a model, simple models beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lamina
from lamina.cli.main import main
from lamina.data.spec import DataSpec
from lamina.errors import UsageError
from lamina.runs.advising import _rules, advise_for
from lamina.runs.baselines import baselines


def test_every_rule_names_models_that_serve_its_data() -> None:
    for rule in _rules():
        for words in (rule["model"], *rule["instead"]):
            card = lamina.card(words.split()[0])
            assert rule["kind"] in card.inputs, words
        assert len(rule["instead"]) == 2


@pytest.mark.parametrize(
    "spec",
    [
        DataSpec(name="a", kind="image", task="classification", sizes={"train": 50}, height=8, width=8),
        DataSpec(name="a", kind="image", task="classification", sizes={"train": 50_000}, height=28, width=28),
        DataSpec(name="a", kind="image", task="regression", sizes={"train": 50_000}),
        DataSpec(name="a", kind="image", task="none", sizes={"train": 500}, height=28, width=28),
        DataSpec(name="a", kind="table", task="regression", sizes={"train": 500}),
        DataSpec(name="a", kind="table", task="multilabel", sizes={"train": 50_000}),
        DataSpec(name="a", kind="text", task="translation", sizes={"train": 500}),
        DataSpec(name="a", kind="text", task="language-modelling", sizes={"train": 5_000_000}),
        DataSpec(name="a", kind="text", task="classification", sizes={"train": 500}),
        DataSpec(name="a", kind="series", task="forecasting", sizes={"train": 500}),
        DataSpec(name="a", kind="series", task="remaining-life", sizes={"train": 500}),
    ],
)
def test_all_kinds_of_data_have_a_rule(spec: DataSpec) -> None:
    advice = advise_for(spec)
    assert lamina.is_model(advice.model)
    assert spec.task in lamina.card(advice.model).tasks or spec.task == "none"
    assert f"{spec.sizes['train']:,}" in advice.why


def test_data_without_a_rule_are_refused() -> None:
    with pytest.raises(UsageError, match="lamina models"):
        advise_for(DataSpec(name="a", kind="sound", task="classification"))


def test_training_without_a_model(tmp_path: Path) -> None:
    run = lamina.train(data="iris", directory=tmp_path, report=False)
    assert run.config.name == lamina.advise("iris").model
    assert run.evaluate("test")["accuracy"] >= 0.93
    assert "mlp" in run.card["fitted"]["model"]


def test_what_is_given_stands_over_the_advice(tmp_path: Path) -> None:
    run = lamina.train(data="iris", steps=2, lr=0.5, model_options={"hidden": (3,)}, directory=tmp_path, report=False)
    assert (run.config.recipe.lr, run.config.recipe.steps, run.model.config.hidden) == (0.5, 2, (3,))


def test_the_command_line_advises(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["advise", "--data", "iris", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "mlp"
    assert told["commands"]["mlp"] == "lamina train mlp --data iris"
    assert len(told["commands"]) == 3
    assert main(["train", "--data", "iris", "--steps", "2", "--runs", str(tmp_path)]) == 0
    assert "lamina train" in capsys.readouterr().out
    assert (tmp_path / "mlp-iris").is_dir()
    assert main(["advise"]) == 2


def test_a_wrong_option_is_reported_instead_of_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "--data", "iris", "--minutes", "0", "--runs", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "minutes must be greater than 0" in err


@pytest.mark.parametrize("words", [[], ["--validation", "0.2", "--split-seed", "3"]])
def test_data_that_were_opened_for_advice_are_not_opened_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run is the one of a training that names the model itself."""
    frame = pd.DataFrame({"a": np.arange(60.0) % 7, "b": np.arange(60.0) % 5, "species": ["x", "y", "z"] * 20})
    frame.to_csv(tmp_path / "flowers.csv", index=False)
    opened = []

    def open_source(data: Any, *, options: Any) -> Any:
        opened.append(data)
        return lamina.open_source(data, options=options)

    monkeypatch.setattr("lamina.runs.data.open_source", open_source)
    common = ["--data", str(tmp_path / "flowers.csv"), "--target", "species", *words, "--steps", "3", "--quiet"]
    assert main(["train", *common, "--runs", str(tmp_path / "advised")]) == 0
    assert len(opened) == 2  # before training, and unchanged after it
    advised = lamina.open_run(tmp_path / "advised" / "mlp-flowers")
    assert (
        main(["train", "--config", str(advised.path / "config.yaml"), "--runs", str(tmp_path / "named"), "--quiet"])
        == 0
    )
    assert len(opened) == 4
    named = lamina.open_run(tmp_path / "named" / "mlp-flowers")
    assert all(np.array_equal(a, b) for a, b in zip(weights(advised), weights(named), strict=True))


def weights(run: lamina.Run) -> list[Any]:
    return [value.numpy() for value in run.model.state_dict().values()]


# ---------------------------------------------------------------- baselines


def frame(count: int = 200) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, count))
    return pd.DataFrame({"x": x, "y": y, "sum": 3 * x - y + 20, "side": np.where(x > 0, "right", "left")})


@pytest.mark.parametrize(
    ("target", "drop", "name", "metric", "least"),
    [("sum", "side", "ridge regression", "r2", 0.99), ("side", "sum", "logistic regression", "accuracy", 0.9)],
)
def test_simple_models_of_tables(tmp_path: Path, target: str, drop: str, name: str, metric: str, least: float) -> None:
    data = frame().drop(columns=drop)
    run = lamina.train("mlp", data=data, target=target, steps=2, directory=tmp_path)
    found = baselines(run, "test")
    assert found[name][metric] > least
    assert name in run.directory.report.read_text(encoding="utf-8")
    kept = json.loads((run.path / "baselines.json").read_text())
    assert kept["splits"]["test"] == found


def test_the_error_is_in_the_targets_own_unit(tmp_path: Path) -> None:
    run = lamina.train(
        "mlp", data=frame().drop(columns="side"), target="sum", steps=2, directory=tmp_path, report=False
    )
    truth = run.source.splits["test"].targets
    train = run.source.splits["train"].targets
    truth, train = np.asarray(truth, dtype=float).ravel(), np.asarray(train, dtype=float).ravel()
    expected = ((truth - train.mean()) ** 2).mean() ** 0.5
    assert baselines(run, "test")["mean"]["rmse"] == pytest.approx(expected, rel=1e-4)


def test_simple_models_of_texts_and_images(tmp_path: Path) -> None:
    words = np.random.default_rng(0).choice(["good", "bad"], 120)
    texts: Any = ([f"a {word} film number {i % 7}" for i, word in enumerate(words)], words.tolist())
    run = lamina.train("lstm-classifier", data=texts, steps=1, directory=tmp_path, report=False)
    assert baselines(run, "test")["logistic regression of TF-IDF"]["accuracy"] == 1.0
    run = lamina.train("lenet5", data="digits", steps=1, directory=tmp_path, report=False)
    assert baselines(run, "test")["5 nearest neighbours"]["accuracy"] > 0.93
