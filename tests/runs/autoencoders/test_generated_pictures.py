"""Pictures and rows generated: by a seed, between two items, along a dimension; pictures during training."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import write_pictures, write_rows
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.autoencoding.generation import code_of, decoded
from lamina.runs.code_paths import between
from lamina.runs.training import prepare
from lamina.training.events import EpochDone


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generation")


@pytest.fixture(scope="module")
def pictures_run(folder: Path) -> lamina.Run:
    """A convolutional VAE with batch normalisation."""
    data = str(write_pictures(folder / "pictures"))
    options = {"image_size": 8, "widths": (4, 8), "latent": 4, "norm": "batch"}
    return lamina.train(
        "vae-conv", data=data, directory=folder, epochs=6, batch_size=8, model_options=options, report=False, lr=0.01
    )


@pytest.fixture(scope="module")
def rows_run(folder: Path) -> lamina.Run:
    data = str(write_rows(folder / "rows.csv"))
    options = {"hidden": (24,), "latent": 3}
    return lamina.train(
        "vae", data=data, directory=folder, epochs=40, batch_size=8, model_options=options, report=False, lr=0.005
    )


def test_a_sample_is_a_function_of_the_seed_and_its_number(pictures_run: lamina.Run) -> None:
    fifty = pictures_run.generate(count=50, seed=3)
    assert all(picture.shape == (8, 8, 1) and picture.dtype == np.uint8 for picture in fifty)
    assert np.array_equal(fifty[0], pictures_run.generate(count=1, seed=3)[0])
    assert not np.array_equal(fifty[0], pictures_run.generate(count=1, seed=4)[0])
    assert len({picture.tobytes() for picture in fifty}) == 50
    codes = pictures_run.task.draw(pictures_run.model, 50, 3)
    alone = torch.cat([decoded(pictures_run, codes[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(decoded(pictures_run, codes), alone, atol=1e-5, rtol=0)
    assert all(module.training is False for module in pictures_run.model.modules())


def test_the_command_writes_the_same_file_twice(pictures_run: lamina.Run, folder: Path) -> None:
    for name in ("one.png", "two.png"):
        assert (
            main(["generate", str(pictures_run.path), "--seed", "5", "--count", "6", "--out", str(folder / name)]) == 0
        )
    assert (folder / "one.png").read_bytes() == (folder / "two.png").read_bytes()
    assert main(["generate", str(pictures_run.path), "--grid"]) == 0
    assert Image.open(pictures_run.path / "generated.png").size == (4 * 66 + 2, 4 * 66 + 2)
    assert main(["generate", str(pictures_run.path), "--count", "3"]) == 0
    files = sorted((pictures_run.path / "generated").iterdir())
    assert [file.name for file in files] == ["0000.png", "0001.png", "0002.png"]
    assert np.array_equal(np.array(Image.open(files[2])), pictures_run.generate(count=3)[2][..., 0])


def test_from_one_picture_to_another(pictures_run: lamina.Run, folder: Path) -> None:
    a, b = (str(folder / "pictures" / name) for name in ("00.png", "12.png"))
    for path in ("linear", "spherical"):
        steps = pictures_run.generate(interpolate=(a, b), count=9, path=path)
        ends = [pictures_run.preprocess.undo(torch.tensor(row)) for row in _restored(pictures_run, a, b)]
        assert np.array_equal(steps[0], ends[0])
        assert np.array_equal(steps[-1], ends[1])
        assert len({step.tobytes() for step in steps}) > 3
    gif = folder / "walk.gif"
    words = ["generate", str(pictures_run.path), "--interpolate", a, b, "--count", "5", "--out", str(gif)]
    assert main(words) == 0
    assert Image.open(gif).n_frames == 8  # there and back
    array = np.array(Image.open(a))
    assert np.array_equal(pictures_run.generate(interpolate=(array, b), count=3)[0], steps[0])


def _restored(run: lamina.Run, *items: str) -> list[Any]:
    codes = torch.stack([code_of(run, item) for item in items])
    return [value.numpy() for value in decoded(run, codes)]


def test_paths_between_codes() -> None:
    first, last = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 4.0]).double()
    share = torch.tensor([0.0, 0.5, 1.0]).double()
    assert between(first, last, share, "linear").tolist() == [[2, 0], [1, 2], [0, 4]]
    turned = between(first, last, share, "spherical")
    torch.testing.assert_close(turned.norm(dim=1), torch.tensor([2.0, 3.0, 4.0]).double())
    assert turned[1].tolist() == pytest.approx([3 / 2**0.5, 3 / 2**0.5])
    with pytest.raises(UsageError, match="opposite"):
        between(first, -first, share, "spherical")
    with pytest.raises(UsageError, match="other than zero"):
        between(first, 0 * first, share, "spherical")


def test_a_walk_moves_one_dimension(pictures_run: lamina.Run) -> None:
    steps = pictures_run.generate(walk=2, count=7)
    codes = torch.zeros(7, 4)
    codes[:, 2] = torch.linspace(-3, 3, 7)
    expected = [pictures_run.preprocess.undo(value) for value in decoded(pictures_run, codes)]
    assert all(map(np.array_equal, steps, expected))
    with pytest.raises(UsageError, match="walk=4: the code has 4 dimensions, 0 to 3"):
        pictures_run.generate(walk=4)


def test_rows_have_the_spread_of_the_data(rows_run: lamina.Run, folder: Path) -> None:
    made = rows_run.generate(count=400, seed=1)
    assert made[0].keys() == {"a", "b", "c", "half"}
    assert {row["half"] for row in made} == {"x", "y"}
    spread = np.std([row["a"] for row in made])
    assert spread == pytest.approx(0.7, abs=0.2)
    still = rows_run.generate(count=400, seed=1, noise=False)
    assert np.std([row["a"] for row in still]) < spread
    file = folder / "made.csv"
    assert main(["generate", str(rows_run.path), "--count", "5", "--seed", "1", "--out", str(file)]) == 0
    rows = list(csv.DictReader(file.open()))
    assert [float(row["b"]) for row in rows] == pytest.approx([row["b"] for row in made[:5]])
    a = json.dumps({"a": 1, "b": 0, "c": 1, "half": "x"})
    b = json.dumps({"a": -1, "b": 0, "c": 1, "half": "y"})
    words = ["generate", str(rows_run.path), "--interpolate", a, b, "--count", "3", "--out", str(folder / "x.parquet")]
    assert main(words) == 0


def test_an_autoencoder_draws_from_the_codes_of_validation(folder: Path) -> None:
    given: dict[str, Any] = {"data": str(folder / "pictures"), "directory": folder, "epochs": 2, "batch_size": 8}
    given |= {"model_options": {"hidden": (16,), "latent": 2}, "report": False}
    if not (folder / "pictures").exists():
        write_pictures(folder / "pictures")
    run = lamina.train("autoencoder", **given)
    assert len(run.generate(count=3)) == len(run.generate(walk=1, count=3)) == 3
    bare = lamina.train("autoencoder", validation=0.0, name="bare", **given)
    with pytest.raises(UsageError, match="set --validation above 0"):
        bare.generate(count=3)
    assert len(bare.generate(interpolate=(np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)), count=2)) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--interpolate", "a.png"], "give two, got 1"),
        (["--interpolate", "a.png", "b.png", "c.png"], "give two, got 3"),
        (["--interpolate", "a.png", "b.png"], "no such file: a.png"),
        (["--count", "0"], "count must be at least 1"),
        (["--walk", "-1"], "walk is a dimension of the code, from 0"),
        (["--walk", "1", "--count", "1"], "at least 2 steps"),
        (["--prompt", "Once"], "--prompt is for runs that generate text"),
        (["--out", "nowhere/x.png"], "there is no folder nowhere"),
        (["--out", "x.jpg"], "a file ending in .png or .gif"),
        (["--temperature", "1"], "--temperature is for language-modelling"),
    ],
)
def test_what_cannot_be_generated(
    words: list[str], reason: str, pictures_run: lamina.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(pictures_run.path), *words]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_pictures_of_training_are_cut_on_resuming(folder: Path, pictures_run: lamina.Run, tmp_path: Path) -> None:
    shown = sorted((pictures_run.path / "samples").iterdir())
    assert [file.name for file in shown] == [f"epoch-{epoch:04}.png" for epoch in range(1, 7)]
    assert shown[0].read_bytes() != shown[-1].read_bytes()
    options: dict[str, Any] = {"data": str(folder / "pictures"), "epochs": 4, "batch_size": 8, "checkpoint_every": 1}
    small = {"hidden": (16,), "latent": 2}
    whole = lamina.train("vae", directory=tmp_path, name="whole", report=False, model_options=small, **options)
    training = prepare("vae", {**options, "model": small}, name="parts", directory=tmp_path)
    with closing(training.events()) as events:
        list(islice((event for event in events if isinstance(event, EpochDone)), 2))
    late = training.directory.pictures / "epoch-0003.png"
    late.write_bytes(b"of an epoch that the checkpoint did not know of")
    parts = lamina.train("vae", directory=tmp_path, name="parts", report=False, resume=True)
    for epoch in range(1, 5):
        name = f"samples/epoch-{epoch:04}.png"
        assert (parts.path / name).read_bytes() == (whole.path / name).read_bytes()
