"""Searches that cannot be: each is refused in one line, before anything is trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.errors import LaminaError, RunError, UsageError
from lamina.search.api import search
from lamina.search.binding import bound
from lamina.search.searching import as_space, open_search
from lamina.search.storage import Journal, open_storage

LR = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}


def quick(folder: Path, **more: Any) -> Any:
    given = {"space": LR, "trials": 2, "strategy": "random", "epochs": 1, "report": False, "directory": folder}
    return search("mlp", "iris", **{**given, **more})


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"learning_rate": [0.1, 0.2]}, "unknown field"),
        ({"optimiser": ["sgd", "adam"]}, "did you mean 'optimizer'"),
        ({"hidden": [[1], [2]]}, "did you mean 'model.hidden'"),
        ({"model.hiden": [[1], [2]]}, "did you mean 'model.hidden'"),
        ({"modle.hidden": [[1], [2]]}, "did you mean 'model'"),
        ({"lr": [0.1, "fast"]}, "'lr'.*expected a number"),
        ({"lr": [0.1, True]}, "'lr'"),
        ({"batch_size": [16, 32.5]}, "'batch_size'.*whole number"),
        ({"batch_size": {"low": 16.5, "high": 64}}, "'batch_size'.*whole number"),
        ({"optimizer": ["sgd", "lion"]}, "'optimizer'.*unknown value 'lion'"),
        ({"optimizer": {"low": 1, "high": 2}}, "'optimizer'"),
        ({"nesterov": {"low": 0, "high": 1}}, "'nesterov'"),
        ({"model.hidden": [[16], 16.5]}, "'model.hidden'"),
        ({"model.num_classes": [2, 3]}, "derived from the data"),
        ({"seed": [1, 2]}, "not searched"),
        ({"lr": [-0.1, 0.1]}, "'lr' cannot be -0.1"),
        ({"momentum": {"low": 0.5, "high": 1.5}}, "'momentum' cannot be 1.5"),
        ({"epochs": [1, 2]}, "given and searched"),
        ({"model.hidden[5]": [1, 2]}, "numbered from 0"),
        ({"model.activation[*]": ["relu", "tanh"]}, "list"),
    ],
)
def test_spaces_that_do_not_fit_the_model(tmp_path: Path, space: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        quick(tmp_path, space=space)
    assert not [*tmp_path.iterdir()]


def test_elements_of_a_list() -> None:
    space = bound(as_space({"model.hidden[*]": [4, 8]}), "mlp", {})
    hidden = lamina.create_model("mlp").config.hidden
    assert space.size == 2 ** len(hidden)


def test_words_of_the_command_line() -> None:
    space = as_space(["lr=1e-4:1e-1:log", "batch_size=16:64:16", "optimizer=sgd,adamw", "model.hidden=[4],[4,8]"])
    checked = bound(space, "mlp", {})
    assert checked.to_dict() == {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "batch_size": {"low": 16, "high": 64, "step": 16},
        "optimizer": ["sgd", "adamw"],
        "model.hidden": [[4], [4, 8]],
    }
    for word in ("lr=1:2:lin", "lr=[1,2"):
        with pytest.raises(UsageError, match=r"--space lr|expected"):
            as_space([word])
    with pytest.raises(UsageError, match="twice"):
        as_space(["lr=1,2", "lr=3,4"])
    with pytest.raises(UsageError, match="cannot read the space"):
        as_space("absent.yaml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "evolutoin"}, "did you mean 'evolution'"),
        ({"strategy": "reinforce", "minimize": ("parameters",)}, "one objective"),
        ({"minimize": ("size",)}, "minimize"),
        ({"minimize": ("macs", "macs")}, "twice"),
        ({"proxy": "macs", "minimize": ("macs",)}, "cannot be minimised"),
        ({"proxy": "synflow", "prune": "asha"}, "has none"),
        ({"prune": "ash"}, "did you mean 'asha'"),
        ({"trials": 0}, "at least 1"),
        ({"trials": 2.5}, "whole number"),
        ({"workers": 0}, "at least 1"),
        ({"workers": 100_000}, "fit"),
        ({"validation": 0.0}, "validation"),
        ({"monitor": "acuracy"}, "accuracy"),
        ({"max_parameters": 1}, "limits"),
        ({"storage": "nosuch://place"}, "SQL URL"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(LaminaError, match=words):
        quick(tmp_path, **options)
    assert not [*tmp_path.glob("*/trial-*")]


def test_a_front_needs_several_objectives(tmp_path: Path) -> None:
    found = search(evaluate=lambda p: p["x"], space={"x": [1, 2, 3]}, trials=3, directory=tmp_path, strategy="random")
    with pytest.raises(UsageError, match="several objectives"):
        _ = found.front
    assert found.best.point == {"x": 3}


def test_the_front_of_a_known_function(tmp_path: Path) -> None:
    """Of (x, y) on a grid of 4 x 4, x is maximised and x + y minimised: the front has y = 0."""
    space = {"x": [0, 1, 2, 3], "y": [0, 1, 2, 3]}
    for strategy in ("random", "nsga2", "evolution"):
        options = {"startup": 4} if strategy == "nsga2" else {}
        found = search(
            evaluate=lambda p: (p["x"], p["x"] + p["y"]), objectives={"x": "max", "sum": "min"}, space=space, trials=16,
            strategy=strategy, directory=tmp_path, name=strategy, strategy_options=options,
        )  # fmt: skip
        if len([t for t in found.trials if t.repeats is None]) == 16:
            assert [(t.point["x"], t.point["y"]) for t in found.front] == [(3, 0), (2, 0), (1, 0), (0, 0)]
        assert found.report().stat().st_size > 10_000
        if strategy == "random":
            assert len(found.front) == 4


def test_another_search_in_the_storage(tmp_path: Path) -> None:
    storage = str(tmp_path / "log")

    def begun(**more: Any) -> Any:
        given = {"space": {"x": [1, 2, 3]}, "strategy": "random", "trials": 2, "directory": tmp_path, "name": "s"}
        return search(evaluate=lambda p: p["x"], report=False, storage=storage, **{**given, **more})

    begun()
    assert len(begun(trials=3).trials) >= 3
    other = tmp_path / "other"
    for where in (tmp_path, other):
        with pytest.raises(UsageError, match="of another space"):
            begun(space={"x": [1, 2]}, directory=where)
        with pytest.raises(UsageError, match="of another strategy"):
            begun(strategy="evolution", directory=where)
    quick(tmp_path, storage=storage, name="iris")
    with pytest.raises(UsageError, match="of another data"):
        search(
            "mlp", "wine", space=LR, trials=2, strategy="random", epochs=1, report=False, directory=other,
            storage=storage, name="iris",
        )  # fmt: skip
    with pytest.raises(UsageError, match="is a search already"):
        quick(tmp_path, name="iris")


@pytest.mark.parametrize("text", [b"not a journal\n", b'{"a": 1}\n', b"\x00\x01\n"])
def test_a_storage_that_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log").write_bytes(text)
    with pytest.raises(RunError, match="line 1"):
        open_storage(str(tmp_path / "log"))
    with pytest.raises(UsageError, match="folder"):
        open_storage(str(tmp_path))
    (tmp_path / "db").write_bytes(text * 100)
    with pytest.raises(RunError, match="cannot be used"):
        open_storage(f"sqlite:///{tmp_path}/db")


def test_an_unfinished_last_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    journal = Journal(path)
    journal.append_logs([{"op_code": 0, "n": 1}])
    with open(path, "ab") as file:
        file.write(b'{"op_code": 0, "n"')
    assert [one["n"] for one in journal.read_logs(0)] == [1]
    journal.append_logs([{"op_code": 0, "n": 2}])
    assert [one["n"] for one in journal.read_logs(0)] == [1, 2]
    assert [one["n"] for one in Journal(path).read_logs(1)] == [2]
    with open(path, "ab") as file:
        file.write(b"x" * 10_000)
    assert [one["n"] for one in Journal(path).read_logs(0)] == [1, 2]
    assert path.read_bytes().endswith(b"}\n")


def test_a_full_disk() -> None:
    journal = Journal.__new__(Journal)
    journal.path, journal._offsets = Path("/dev/full"), {0: 0}
    with pytest.raises(RunError, match="No space left"):
        journal.append_logs([{"op_code": 0}])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_storage_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "log").touch(0o444)
    with pytest.raises(RunError, match="Permission denied"):
        open_storage(str(tmp_path / "log"))


def test_failures(tmp_path: Path) -> None:
    def value(point: Any) -> float:
        if point["x"] == 1:
            raise MemoryError("too large")
        return float("nan") if point["x"] == 2 else float(point["x"])

    found = search(evaluate=value, space={"x": [1, 2, 3, 4]}, trials=4, strategy="random", directory=tmp_path)
    assert {t.point["x"]: t.state for t in found.trials} == {1: "failed", 2: "failed", 3: "complete", 4: "complete"}
    assert "not finite" in next(t.error for t in found.trials if t.point["x"] == 2)
    assert found.best.point == {"x": 4}
    with pytest.raises(RunError, match=r"all 5 trials failed, the first with: ZeroDivisionError"):
        search(
            evaluate=lambda p: 1 / 0, space={"x": {"low": 0.0, "high": 1.0}}, trials=30, strategy="random",
            directory=tmp_path, name="none", report=False,
        )  # fmt: skip
    assert len(open_search(tmp_path / "none").trials) == 5


def test_a_training_that_diverges_is_a_failed_trial(tmp_path: Path) -> None:
    found = quick(tmp_path, space={"lr": [1e-2, 1e30], "optimizer": ["sgd"]}, trials=2)
    states = {trial.point["lr"]: trial.state for trial in found.trials}
    assert states[1e-2] == "complete"
    assert json.dumps(found.best.to_dict())
    assert found.best.point["lr"] == 1e-2


def test_the_result_is_a_run(tmp_path: Path) -> None:
    found = quick(tmp_path, space={**LR, "model.hidden": [[4], [8]]}, trials=3, strategy="evolution", minimize=["macs"])
    assert len(found.random) == 3
    assert found.objectives[1].name == "macs"
    assert found.result["test"]["accuracy"] >= 0
    recipe = found.recipe()
    assert recipe["lr"] == found.best.point["lr"]
    run = found.retrain(epochs=2, report=False)
    assert run.config.recipe.lr == found.best.point["lr"]
    assert list(run.config.model["hidden"]) == list(found.best.point["model.hidden"])
    assert "accuracy" in run.evaluate()
    page = found.report().read_text()
    assert "random" in page
    assert "Pareto front" in page
