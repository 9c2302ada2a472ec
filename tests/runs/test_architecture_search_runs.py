"""A search by weight sharing ends in an architecture: a recipe that trains, drawn, and its course over training."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.layers.cells.genotype import Genotype

SEARCH: dict[str, Any] = {
    "data": "digits",
    "limit": 100,
    "batch_size": 10,
    "epochs": 2,
    "split_seed": 3,
}
SUPERNET = {
    "width": 2,
    "layers": 3,
    "nodes": 2,
    "image_size": 8,
    "operations": ("none", "skip_connect", "sep_conv_3x3"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with warnings.catch_warnings(action="ignore"):  # that it is no better than a constant
        return lamina.train(
            "darts-supernet",
            directory=tmp_path_factory.mktemp("search"),
            name="search",
            model_options=SUPERNET,
            objective={"name": "darts", "lr": 0.1},
            **SEARCH,
        )


def test_the_recipe_of_what_was_found_trains_it(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = yaml.safe_load((run.path / "architecture.yaml").read_text())
    genotype = run.model.derive()
    assert recipe == {
        "name": "darts-v2",
        "data": "digits",
        "model": {"genotype": str(genotype), "image_size": 8},
        "limit": 100,
        "split_seed": 3,
    }
    words = [
        "train",
        "--config",
        str(run.path / "architecture.yaml"),
        "--runs",
        str(run.path.parent),
        "--name",
        "found",
    ]
    words += ["--model.width", "2", "--model.layers", "3", "--epochs", "1", "--batch-size", "30", "--quiet"]
    assert main(words) == 0, capsys.readouterr().err
    found = lamina.open_run(run.path.parent / "found")
    assert found.model.genotype == genotype
    assert 0 <= found.evaluate()["accuracy"] <= 1


def test_the_architecture_after_each_epoch_is_kept(run: Any) -> None:
    rows = [json.loads(line) for line in (run.path / "samples.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["genotype"] == str(run.model.derive())
    for name, mixture_EO in zip(("normal", "reduce"), run.model.alphas(), strict=True):
        torch.testing.assert_close(torch.tensor(rows[-1]["mixtures"][name]), mixture_EO.detach(), rtol=0, atol=1e-5)
    assert rows[0]["mixtures"] != rows[1]["mixtures"]


def test_inspect_needs_no_input(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(run.path)]) == 0, capsys.readouterr().err
    files = {path.name for path in (run.path / "inspect").iterdir()}
    assert files == {"inspect.html", "normal.png", "reduce.png", "alphas-normal.png", "alphas-reduce.png"}
    seen = run.inspect()
    assert Genotype.parse(seen.genotype) == run.model.derive()
    assert seen.mixtures["normal"].shape == (2, 5, 3)
    for page in (run.path / "inspect" / "inspect.html", run.report()):
        text = page.read_text(encoding="utf-8")
        assert "sep_conv_3x3" in text
        assert "lamina train --config" in text
        assert "weights of" in text or "mean weight of an operation" in text
    with pytest.raises(UsageError, match="inspected as it is"):
        run.inspect("digit.png")
    with pytest.raises(UsageError, match="no class or stage"):
        run.inspection(target="3")
    assert main(["inspect", str(run.path), "--image", str(run.path / "config.yaml")]) == 2
    assert main(["inspect", "darts-supernet"]) == 2
    assert "nothing to inspect: give --image FILE" in capsys.readouterr().err


def test_it_evaluates_and_predicts(run: Any) -> None:
    assert run.verbs[:2] == ("evaluate", "predict")
    assert run.evaluate("validation")["accuracy"] == pytest.approx(run.history[-1]["validation_accuracy"])
    (row,) = run.predict(np.zeros((8, 8), np.uint8))
    assert set(row) == {"class", "probability", "probabilities"}
