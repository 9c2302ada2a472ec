"""Searches that cannot be: each is refused in one line, before anything is trained."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.errors import LaminaError, RunError, UsageError
from lamina.options.recipe import Recipe
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
        ({"model.hiden": [[8]]}, "unknown field.*did you mean 'model.hidden'"),  # not: the space has one point
        ({"optimiser": ["sgd"]}, "did you mean 'optimizer'"),
        ({"lr": [0.1]}, "one point"),
        ({}, "empty"),
        ({"flip": [True, False], "augmentation.flip": [True, False]}, "are one option"),
        ({"model.hidden": [[8], [16]], "model.hidden[0]": [4, 8]}, "are one option"),
        ({"strategy": ["ddp", "fsdp"]}, "not searched"),
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
    assert as_space("model.architecture=|a~0|,|b~0|").size == 2
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
        ({"devices": 2}, "one process; --workers"),
        ({"num_nodes": 2}, "one process; --workers"),
        ({"strategy": "fsdp"}, "how several processes train a net.*how points are chosen"),
        ({"recipe": Recipe(strategy="fsdp", epochs=1)}, "strategy fsdp is how several processes"),
        ({"storage": "/dev/full"}, "is no file"),
        ({"storage": ""}, "storage"),
        ({"storage": "sqlite:///"}, "in memory"),
        ({"storage": "sqlite:///:memory:"}, "in memory"),
        ({"storage": "sqlite:/trials.db"}, "no SQL URL"),
        ({"storage": "/dev/null/trials.log"}, "cannot write the storage"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(LaminaError, match=words):
        quick(tmp_path, **options)
    left = [path.name for path in tmp_path.iterdir()]
    assert not left


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


def test_a_launcher_of_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="started 2 processes, but a search starts its own"):
        quick(tmp_path)


SPACES = {
    "lr: [0.1, 0.01]\nbatch_size: [8, 16]\nlr: [1, 2]\n": "'lr' is there twice, in lines 1 and 3",
    "lr: {low: 0.1, high: 1.0, low: 0.5}\n": "'low' is there twice, in line 1",
    "lr: {values: [0.1, 1.0], when: {optimizer: sgd, optimizer: adam}}\n": "'optimizer' is there twice",
    '"lr": [0.1, 0.01]\nlr: [1, 2]\n': "'lr' is there twice",
    "lr: 2024-13-45\n": "holds a value that is none",
    "lr: &a [*a]\n": "holds a value that is none",
    "lr: " + "[" * 2000 + "]" * 2000: "nested too deeply",
    "? [lr]\n: [1, 2]\n": "is not YAML",
    "lr: [0.1\n": "is not YAML",
    "lr: [1, 2]\n---\nlr: [3, 4]\n": "is not YAML",
    "- lr\n": "holds no space",
    "": "holds no space",
    "lr: {low: 0.1}\n": "needs low and high",
    "lr: {low: 0.1, high: 1, logg: true}\n": "did you mean 'log'",
}


@pytest.mark.parametrize("text", SPACES)
def test_spaces_in_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"{SPACES[text]}") as caught:
        quick(tmp_path, space=str(tmp_path / "space.yaml"))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


def test_anchors_and_merges_are_no_repetition(tmp_path: Path) -> None:
    text = "lr: &a {low: 0.001, high: 0.1, log: true}\nweight_decay: {<<: *a, high: 0.01}\n"
    (tmp_path / "space.yaml").write_text(text)
    found = as_space(str(tmp_path / "space.yaml")).to_dict()
    assert found == {
        "lr": {"low": 0.001, "high": 0.1, "log": True},
        "weight_decay": {"low": 0.001, "high": 0.01, "log": True},
    }


class Full:
    """A file on a disk with room for so many bytes more: as the system does, a part is written, then an error."""

    def __init__(self, file: Any, room: list[int]) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> int:
        if not self.room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: self.room[0]]
        self.room[0] -= len(part)
        return int(self.file.write(part))


def test_a_disk_that_fills_up_while_trials_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line wherever it is full, and what was recorded stands: resumed, the search is one that was never stopped."""

    def value(point: Any) -> float:
        return float(point["x"])

    given: dict[str, Any] = {"space": {"x": [*range(50)]}, "trials": 6, "strategy": "random", "report": False}
    whole = search(evaluate=value, **given, directory=tmp_path / "whole")
    size = (whole.path / "journal.log").stat().st_size
    locked = Journal._locked
    for number, at in enumerate(range(1500, size, size // 7)):
        room, folder = [at], tmp_path / str(number)

        @contextlib.contextmanager
        def full(journal: Journal, room: list[int] = room) -> Iterator[Any]:
            with locked(journal) as file:
                yield Full(file, room)

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_locked", full)
            with pytest.raises(RunError, match=r"cannot write the storage .*journal.log: No space left"):
                search(evaluate=value, **given, directory=folder)
        resumed = search(evaluate=value, **given, directory=folder, resume=True)
        assert outcomes(resumed) == outcomes(whole)


def outcomes(found: Any) -> list[Any]:
    return [(one.number, one.state, one.point, one.values) for one in found.trials]
