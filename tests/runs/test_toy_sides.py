"""A task that draws from two unpaired sides: from folders, from two sources, refused in one line where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_package import Dense, DenseConfig, Unpaired

import lamina
from lamina.cli.main import main
from lamina.data.image.preprocess import ImagePreprocess
from lamina.errors import UsageError
from lamina.tasks.base import one_tensor

pytestmark = pytest.mark.usefixtures("toys")
Folder = Callable[[dict[str, int]], Path]
ASKED = {"task": "toy-unpaired", "batch_size": 3, "validation": 0.0, "report": False}


@pytest.fixture
def pictures(tmp_path: Path) -> Folder:
    """Grey noise of 8 x 8 pixels, so many in each folder, brighter from one to the next."""

    def make(folders: dict[str, int]) -> Path:
        draws = np.random.default_rng(0)
        for number, (name, count) in enumerate(folders.items()):
            (tmp_path / "set" / name).mkdir(parents=True)
            for i in range(count):
                pixels = draws.integers(60 * number, 60 * number + 60, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
        return tmp_path / "set"

    return make


def test_every_update_draws_from_both_and_the_longer_counts(pictures: Folder, tmp_path: Path) -> None:
    """Sides of 7 and 12 pictures: 2 and 4 batches of 3, so an epoch is 4 updates and the shorter one goes round."""
    data = str(pictures({"trainA": 7, "trainB": 12, "testA": 3, "testB": 4}))
    task = Unpaired(one_tensor(ImagePreprocess.input_key))
    asked = {**ASKED, "task": task, "epochs": 40, "lr": 0.01}
    run = lamina.train(Dense(DenseConfig()), data=data, directory=tmp_path, **asked)
    assert task.drawn == [(3, 3)] * 160
    assert [row["step"] for row in run.history[:3]] == [4, 8, 12]
    first, last = run.history[0], run.history[-1]
    assert all(last[f"train_{side}"] < 0.5 * first[f"train_{side}"] for side in ("A", "B"))


def test_two_sources_are_the_sides(pictures: Folder, tmp_path: Path) -> None:
    """Named by two --data, kept in config.yaml, opened again."""
    root = pictures({"dark": 8, "bright": 12})
    data = [str(root / "dark"), str(root / "bright")]
    run = lamina.train("toy-dense", data=data, epochs=2, directory=tmp_path, **ASKED)
    assert run.path.name == "toy-dense-dark-bright"
    again = lamina.open_run(run.path)
    assert again.config.data == tuple(data)
    assert again.evaluate() == run.evaluate()
    longer = lamina.train("toy-dense", data=data, epochs=4, directory=tmp_path, resume=True, **ASKED)
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4]
    (root / "bright" / "0.png").unlink()
    with pytest.raises(lamina.LaminaError, match="has changed"):
        lamina.open_run(run.path).evaluate()


def test_a_dry_run_tells_both_sides(pictures: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(pictures({"trainA": 7, "trainB": 12}))
    words = ["train", "toy-dense", "--task", "toy-unpaired", "--data", data, "--batch-size", "2", "--dry-run"]
    assert main([*words, "--validation", "0", "--test", "0"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["sides"] == "B 6 batches, A 3 batches"
    assert lines["model"].endswith("for toy-unpaired")
    assert "an epoch is 6 batches of 2" in lines["length"]


@pytest.mark.parametrize(
    ("folders", "more", "message"),
    [
        ({"x": 3, "y": 3, "z": 3}, {}, "3 classes.*give a source of exactly 2 classes, folders trainA and trainB, or"),
        ({"trainA": 7, "trainB": 12}, {"batch_size": 8}, "side A: batch size 8 is larger.*7 samples.*--batch-size 7"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    pictures: Folder, tmp_path: Path, folders: dict[str, int], more: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        lamina.train("toy-dense", data=str(pictures(folders)), test=0.0, directory=tmp_path / "r", **{**ASKED, **more})
    assert not (tmp_path / "r").exists()
