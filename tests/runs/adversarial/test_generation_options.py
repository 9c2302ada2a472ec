"""What a generator is asked for beside samples: a path, raw weights, statistics measured anew, its training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import lamina
from lamina.cli.main import main
from lamina.errors import RunError, UsageError
from lamina.layers.latent import latent_noise
from lamina.runs.adversarial.generation import recalibrated
from lamina.tasks.adversarial.options import AdversarialSampleOptions

NET: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


def train(folder: Path, name: str, **options: Any) -> lamina.Run:
    pictures = np.random.default_rng(0).integers(0, 255, (48, 16, 16), dtype=np.uint8)
    return lamina.train(
        "dcgan-16", data=(pictures, np.arange(48) % 3), batch_size=8, lr=0.01, report=False, name=name,
        validation=0.0, test=0.0, directory=folder, **{"epochs": 3, "ema": 0.9, "model_options": NET, **options},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    return train(tmp_path_factory.mktemp("generation"), "plain")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    return train(tmp_path_factory.mktemp("generation"), "classes", epochs=1, model_options={**NET, "classes": 3})


def array(pictures: list[Any]) -> Any:
    return np.stack(pictures).astype(int)


def test_a_path_goes_from_one_sample_of_the_seed_to_another(run: lamina.Run) -> None:
    drawn = array(run.generate(count=6, seed=4))
    for options in ({}, {"path": "linear"}):
        path = array(run.generate(interpolate=(1, 5), seed=4, count=7, **options))
        assert len(path) == 7
        assert np.abs(path[0] - drawn[1]).max() <= 1
        assert np.abs(path[-1] - drawn[5]).max() <= 1
        assert len({picture.tobytes() for picture in path}) == 7
    straight, turned = (
        array(run.generate(interpolate=(1, 5), seed=4, count=3, path=p))[1] for p in ("linear", "spherical")
    )
    z = latent_noise(6, 5, seed=4)[[1, 5]].mean(0, keepdim=True)
    with torch.no_grad():
        middle = run.model.generator.eval()(z)  # type: ignore[union-attr, operator]
    assert np.abs(straight - run.preprocess.undo(middle[0]).astype(int)).max() <= 1
    assert not np.array_equal(straight, turned)
    back = array(run.generate(interpolate=(5, 1), seed=4, count=7))
    assert np.abs(back[::-1] - array(run.generate(interpolate=(1, 5), seed=4, count=7))).max() <= 1


def test_a_path_of_a_conditional_model_stays_in_its_class(conditional: lamina.Run) -> None:
    with pytest.raises(UsageError, match=r"interpolate stays in one class, and .* is conditional: give label"):
        conditional.generate(interpolate=(0, 1))
    path = array(conditional.generate(interpolate=(0, 2), label=conditional.classes[1], count=3))
    drawn = array(conditional.generate(count=3, label=conditional.classes[1]))
    assert np.abs(path[0] - drawn[0]).max() <= 1
    assert np.abs(path[2] - drawn[2]).max() <= 1


def test_raw_weights_are_those_of_the_checkpoint(run: lamina.Run) -> None:
    state = torch.load(run.directory.checkpoints.latest(), weights_only=True)["engine"]["models"]["generator"]
    model: Any = lamina.create_model("dcgan-16", **NET)
    model.generator.load_state_dict(state)
    expected = [run.preprocess.undo(x) for x in model.generator.sample(4, seed=2)]
    averaged = array(run.generate(count=4, seed=2))
    assert np.abs(array(run.generate(count=4, seed=2, raw=True)) - array(expected)).max() <= 1
    assert np.abs(array(expected) - averaged).max() > 3
    assert np.array_equal(array(run.generate(count=4, seed=2)), averaged)  # the run's own model is as it was


def test_raw_weights_need_a_checkpoint(run: lamina.Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(RunError, match="has no checkpoint, which would hold the weights that are not averaged"):
        lamina.open_run(copy).generate(raw=True)


def test_recalibrated_statistics_are_those_of_the_generators_own_maps(run: lamina.Run) -> None:
    model: Any = run.model
    generator = model.generator
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    maps: list[torch.Tensor] = []
    hook = generator.stages[0][0].register_forward_hook(lambda module, args, out: maps.append(out))
    with recalibrated(run, model, 20), torch.no_grad():
        hook.remove()
        norm = generator.stages[0][1]
        assert [len(part) for part in maps] == [8, 8, 4]
        means = torch.stack([part.mean((0, 2, 3)) for part in maps]).mean(0)
        variances = torch.stack([part.var((0, 2, 3)) for part in maps]).mean(0)
        torch.testing.assert_close(norm.running_mean, means)
        torch.testing.assert_close(norm.running_var, variances)
        assert not torch.allclose(norm.running_mean, before["stages.0.1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    one = array(run.generate(count=3, seed=0, recalibrate=20))
    assert np.array_equal(one, array(run.generate(count=3, seed=0, recalibrate=20)))
    assert not np.array_equal(one, array(run.generate(count=3, seed=0)))
    alone = array(run.generate(count=1, seed=0, recalibrate=20))  # what is measured does not depend on what is made
    assert np.abs(alone[0] - one[0]).max() <= 1


def test_recalibrating_classes_takes_all_in_turn(conditional: lamina.Run) -> None:
    assert len(conditional.generate(count=2, recalibrate=9, label=conditional.classes[0])) == 2


def test_the_pictures_of_training_as_a_gif(run: lamina.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grids = run.generate(over_training=True)
    assert len(grids) == 3
    kept = run.directory.epoch_pictures()
    assert all(np.array_equal(grid[..., 0], np.array(Image.open(kept[i + 1]))) for i, grid in enumerate(grids))
    assert main(["generate", str(run.path), "--over-training", "--out", str(tmp_path / "a.gif")]) == 0
    frames = [np.array(frame.convert("L")) for frame in ImageSequence.Iterator(Image.open(tmp_path / "a.gif"))]
    assert len(frames) == 3  # not back again
    for frame, grid in zip(frames, grids, strict=True):
        assert np.abs(frame.astype(int) - grid[..., 0].astype(int)).max() <= 9  # of 16 greys
    assert main(["generate", str(run.path), "--over-training"]) == 0
    assert (run.path / "training.gif").is_file()
    assert main(["generate", str(run.path), "--over-training", "--grid"]) == 2
    assert "those of --over-training are grids already" in capsys.readouterr().err


def test_by_the_command_line(run: lamina.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", str(run.path), "--count", "4", "--seed", "4"]
    out = str(tmp_path / "p.gif")
    assert main([*words, "--interpolate", "0", "3", "--raw", "--recalibrate", "10", "--out", out]) == 0
    assert main([*words, "--grid", "--out", str(tmp_path / "grid.png")]) == 0
    for given, reason in (
        (["--interpolate", "0"], "give two numbers from 0 on, got 0"),
        (["--interpolate", "0", "x"], "expected a whole number, got 'x'"),
        (["--path", "linear"], "path is of interpolate: give interpolate"),
    ):
        assert main([*words, *given]) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"recalibrate": 1}, "recalibrate needs at least 2 samples"),
        ({"interpolate": (0, 1), "count": 1}, "a path has at least 2 steps"),
        ({"interpolate": (0, 1, 2)}, "got 0 1 2"),
        ({"interpolate": (-1, 2)}, "two numbers from 0 on"),
        ({"over_training": True, "raw": True}, "raw is for new samples"),
        ({"over_training": True, "label": "a"}, "label is for new samples"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        AdversarialSampleOptions(**options)


def test_rows_have_paths_and_no_pictures(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).normal(size=(60, 3))
    run = lamina.train(
        "gan", data=(frame, np.arange(60) % 2), steps=2, batch_size=16, report=False, directory=tmp_path,
        model_options={"generator_hidden": (5,), "discriminator_hidden": (4,), "latent": 3, "prior": "uniform"},
    )  # fmt: skip
    path = [list(map(float, row.values())) for row in run.generate(interpolate=(0, 1), count=3)]
    z = latent_noise(2, 3, 0, "uniform").mean(0, keepdim=True)  # codes of a cube: straight
    with torch.no_grad():
        middle = run.preprocess.undo(run.model.generator(z)[0])  # type: ignore[union-attr, operator]
    assert path[1] == pytest.approx(list(map(float, middle.values())), rel=1e-4)
    with pytest.raises(UsageError, match="has kept no pictures of its epochs"):
        run.generate(over_training=True)
    with pytest.raises(UsageError, match=r"recalibrate: the generator of .* has no batch norm"):
        run.generate(recalibrate=10)
