"""From words to what is asked: only what was given, in the types that a recipe file has."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamina.cli.fields import fields_of, given
from lamina.cli.parser import Parser, dashed
from lamina.cli.train import parser
from lamina.errors import UsageError

Lamina = Callable[..., tuple[int, str, str]]


def asked(line: str, model: str | None = None) -> dict[str, Any]:
    reader = parser(model)
    values = reader.read(dashed(line.split(" "))).as_dict()
    options = given(reader.fields, values.get("model") or {}, under="model")
    return given(reader.fields, values) | ({"model": options} if model else {})


def test_what_is_not_given_is_not_asked() -> None:
    assert asked("lenet5 --data digits") == {}
    assert asked("lenet5 --data digits --lr 1e-3 --no-flip") == {"lr": 0.001, "flip": False}
    assert asked("lenet5 --data digits --model.dropout 0.5", "lenet5") == {"model": {"dropout": 0.5}}


@pytest.mark.parametrize("spelling", ["--batch-size 3", "--batch_size 3", "--batch-size=3", "--batch_size=3"])
def test_dashes_and_underscores_are_the_same(spelling: str) -> None:
    assert asked(f"lenet5 {spelling}") == {"batch_size": 3}


def test_underscores_of_values_stay() -> None:
    assert asked("mlp --target=a_b --drop c_d") == {"target": "a_b", "drop": ["c_d"]}
    assert dashed(["--", "--a_b"]) == ["--", "--a_b"]


def test_lists_are_comma_separated_quoted_or_repeated() -> None:
    assert asked("mlp --drop a,b --drop c") == {"drop": ["a", "b", "c"]}
    assert asked('mlp --drop "a,b",c') == {"drop": ["a,b", "c"]}
    assert asked("mlp --target price") == {"target": "price"}
    assert asked("mlp --target x,y") == {"target": ["x", "y"]}
    assert asked("mlp --missing -1") == {"missing": ["-1"]}
    for hidden in ("64,32", "[64,32]"):
        assert asked(f"mlp --model.hidden {hidden}", "mlp") == {"model": {"hidden": [64, 32]}}
    assert asked("mlp --model.hidden 64", "mlp") == {"model": {"hidden": [64]}}
    assert asked("mlp --model.hidden ", "mlp") == {"model": {"hidden": []}}


def test_texts_stay_texts() -> None:
    assert asked("mlp --target 007 --separator null") == {"target": "007", "separator": "null"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy:
    """Options."""

    deep: bool = False
    """whether ``deep``,
    at 100 %"""
    width: int | None = None
    """how wide"""


def test_switches_of_a_model_take_a_value() -> None:
    """So that they can be told from the model's name before the model is known."""
    reader = Parser("toy", "", "")
    reader.add_fields("toy", fields_of(Toy, under="model"))
    values = reader.read(["--model.deep", "true"]).as_dict()
    assert given(reader.fields, values["model"], under="model") == {"deep": True}
    assert "--model.deep true|false whether deep, at 100 % (default: no)" in " ".join(reader.format_help().split())
    with pytest.raises(UsageError, match=r"--model\.width: expected a whole number, got 'wide'"):
        reader.read(["--model.width", "wide"])


def test_the_models_name_is_found_among_options(lamina: Lamina) -> None:
    for words in (
        ["mlp", "--data", "iris", "--model.hidden", "8"],
        ["--model.hidden", "8", "--data", "iris", "mlp"],
        ["--data=iris", "--no-flip", "mlp", "--model.hidden=8"],
    ):
        status, out, err = lamina("train", *words, "--print-config", "--json")
        assert status == 0, err
        assert json.loads(out)["model"] == {"hidden": [8]}


def test_layers_of_a_configuration(lamina: Lamina, tmp_path: Path) -> None:
    """Class defaults, then the model's recipe, then --config, then the command line."""
    (tmp_path / "mine.yaml").write_text(
        "name: mlp\ndata: iris\nbatch_size: 7\nlr: 0.5\nsteps: 9\nmodel:\n  hidden: [5]\n"
    )
    status, out, err = lamina(
        "train", "--config", "mine.yaml", "--lr", "0.25", "--model.activation", "tanh", "--print-config"
    )
    assert status == 0, err
    config = yaml.safe_load(out)
    assert (config["batch_size"], config["lr"]) == (7, 0.25)
    assert (config["epochs"], config["steps"]) == (None, 9), "the file's length replaces the recipe's"
    assert config["schedule"] == "cosine", "from the model's own recipe"
    assert config["model"] == {"hidden": [5], "activation": "tanh"}
    (tmp_path / "again.yaml").write_text(out)
    assert lamina("train", "--config", "again.yaml", "--print-config") == (0, out, ""), "what is printed can be read"


def test_a_published_recipe_has_a_name(lamina: Lamina) -> None:
    status, out, err = lamina("train", "mlp", "--data", "digits", "--config", "lenet5", "--print-config")
    assert status == 0, err
    assert yaml.safe_load(out)["augmentation"]["shift"] == 2, "lenet5's recipe moves images"


def test_help_shows_the_recipe_of_the_model(lamina: Lamina) -> None:
    status, out, _ = lamina("train", "lenet5", "--help-all")
    assert status == 0
    text = " ".join(out.split())
    assert "--lr X peak learning rate (default: 0.002)" in text
    assert "--model.activation" in text
    assert "(default: tanh)" in text
    assert "--model.num-classes N outputs: classes, or values to predict (default: derived from the data)" in text
    status, out, _ = lamina("help", "train")
    assert status == 0
    assert "(default: 0.001)" in " ".join(out.split())
    assert "--model." not in out.split("examples:")[0]


def test_dry_run_prepares_everything_and_writes_nothing(lamina: Lamina, tmp_path: Path) -> None:
    status, out, err = lamina("train", "mlp", "--data", "iris", "--dry-run", "--json", "--model.hidden", "8")
    assert status == 0, err
    plan = json.loads(out)
    assert plan["parameters"] == (4 * 8 + 8) + (8 * 3 + 3)
    assert plan["length"] == [77, "epochs"], "a thousand steps of 13 an epoch"
    assert sum(plan["sizes"].values()) == 150
    assert not any(tmp_path.iterdir())
    status, out, _ = lamina("train", "mlp", "--data", "iris", "--dry-run")
    assert status == 0
    assert "runs/mlp-iris" in out
    assert "nothing was trained or written" in out
    assert not any(tmp_path.iterdir())
