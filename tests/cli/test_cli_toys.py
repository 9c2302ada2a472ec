"""What the command line says of another package's models, and of data without targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lamina as library

Called = tuple[int, str, str]
Lamina = Callable[..., Called]


@pytest.mark.usefixtures("toys")
def test_models_and_info_count_each_player(lamina: Lamina) -> None:
    status, out, _ = lamina("models", "toy*")
    assert status == 0
    assert "generator 892, critic 793" in next(line for line in out.splitlines() if line.startswith("toy-gan"))
    status, out, _ = lamina("info", "toy-gan")
    assert status == 0
    assert "generator 816, critic 780 for an input of generator 4, critic 1 x 8 x 8" in out
    assert [line.split()[0] for line in out.splitlines() if "Linear" in line] == [
        "generator.hidden", "generator.head", "critic.hidden", "critic.head",
    ]  # fmt: skip
    status, out, _ = lamina("info", "toy-gan", "--json")
    assert json.loads(out)["card"]["macs"] == {"generator": 816, "critic": 780}


@pytest.mark.usefixtures("toys")
def test_info_of_a_run_counts_the_model_that_was_trained(lamina: Lamina, tmp_path: Path) -> None:
    options = {"width": 6, "latent": 4}
    library.train("toy-gan", data="digits", steps=1, directory=tmp_path, model_options=options, report=False)
    status, out, err = lamina("info", tmp_path / "toy-gan-digits")
    assert (status, err) == (0, "")
    layers = {words[0]: words[3] for words in map(str.split, out.splitlines()) if "Linear" in words}
    assert layers == {"generator.hidden": "30", "generator.head": "448", "critic.hidden": "390", "critic.head": "7"}


def pictures(folder: Path, names: tuple[str, ...] = ("",)) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(6):
            Image.fromarray(np.full((5, 4), 40 * i, dtype=np.uint8)).save(folder / name / f"{i}.png")


def test_data_without_targets_are_shown_as_such(lamina: Lamina, tmp_path: Path) -> None:
    pictures(tmp_path / "photos")
    (tmp_path / "houses.csv").write_text("area,price\n" + "".join(f"{i // 2},{i * i}\n" for i in range(40)))
    for data, way in (
        ("photos", "'photos' holds images, but neither class folders nor a table of labels"),
        ("houses.csv", "name the target column with --target, one of: area, price"),
    ):
        status, out, err = lamina("data", data)
        assert (status, err) == (0, "")
        lines = dict(line.split(maxsplit=1) for line in out.split("\n\n")[0].splitlines())
        assert lines["targets"] == f"none ({way})"
        assert "task" not in lines
        described = json.loads(lamina("data", data, "--json")[1])
        assert (described["task"], described["targets"], described["hint"]) == ("none", [], way)
    status, out, _ = lamina("data", "houses.csv", "--target", "price")
    assert (status, "regression" in out, "none" in out) == (0, True, False)


def test_numbers_as_classes_are_learnt_as_values(lamina: Lamina, tmp_path: Path) -> None:
    words = ("mlp", "--data", "digits", "--task", "regression", "--epochs", "4", "--model.hidden", "32", "--quiet")
    status, out, _ = lamina("train", *words, "--json")
    assert status == 0
    trained = json.loads(out)
    assert trained["best"]["metric"] == "rmse"
    assert trained["metrics"]["rmse"] < 2.0  # the spread of ten digits is 2.9
    status, out, _ = lamina("evaluate", "mlp-digits", "--split", "validation", "--json")
    assert json.loads(out)["metrics"]["r2"] > 0.5
    run = library.open_run(tmp_path / "runs" / "mlp-digits")
    assert (run.task_name, run.classes) == ("regression", ("class",))
    assert list(run.predict(np.zeros((8, 8)))[0]) == ["class"]


def test_classes_that_are_no_numbers_are_refused_with_the_way_out(lamina: Lamina, tmp_path: Path) -> None:
    pictures(tmp_path / "pets", ("3", "cat"))
    way = "has non-numeric classes, such as 'cat', but regression needs numbers; use --task classification"
    for words in (("train", "mlp", "--data", "pets"), ("data", "pets")):
        status, out, err = lamina(*words, "--task", "regression")
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert way in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [("train", "mlp", "--data", "digits", "--dry-run"), ("data", "digits")])
def test_an_unknown_task_is_told_the_nearest(lamina: Lamina, words: tuple[str, ...]) -> None:
    status, _, err = lamina(*words, "--task", "regresion")
    assert (status, err) == (2, "lamina: unknown task 'regresion'; did you mean 'regression'?\n")


@pytest.mark.usefixtures("toys")
def test_a_task_that_the_model_or_the_data_cannot_serve(lamina: Lamina, tmp_path: Path) -> None:
    pictures(tmp_path / "photos")
    for model, data, task, message in (
        ("mlp", "digits", "toy-unpaired", "mlp can be trained for classification, multilabel or regression, not for"),
        ("mlp", "photos", "classification", "'photos' cannot serve classification: it has no targets ('photos' holds"),
        ("toy-dense", "digits", "toy-autoencodng", "did you mean 'toy-autoencoding'"),
    ):
        status, _, err = lamina("train", model, "--data", data, "--task", task, "--dry-run")
        assert (status, len(err.splitlines())) == (2, 1)
        assert message in err
