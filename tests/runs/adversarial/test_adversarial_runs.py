"""Runs of adversarial networks: players' rhythm, resume to the bit, mixed precision, generation by seed and label."""

from __future__ import annotations

import math
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.training import Training, prepare
from lamina.tasks.adversarial import games
from lamina.tasks.adversarial.games import ClippedOptions
from lamina.training.events import EpochDone

NET: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adversarial")


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Path:
    """192 pictures of 8 x 8 in two classes, bright above or bright below."""
    draws = np.random.default_rng(0)
    for i in range(192):
        values = draws.integers(0, 60, (8, 8))
        values[:4] += 180 * (i % 2)
        values[4:] += 180 * (1 - i % 2)
        (folder / "pictures" / ("below", "above")[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype("uint8")).save(folder / "pictures" / ("below", "above")[i % 2] / f"{i:03}.png")
    return folder / "pictures"


def begin(directory: Path, data: Path, model: str = "dcgan-16", **options: Any) -> Training:
    given = {"data": str(data), "batch_size": 8, "model_options": NET, "lr": 0.002, **options}
    given["model"] = given.pop("model_options")
    return prepare(model, given, directory=directory)


def run_through(training: Training, stop: int | None = None) -> int:
    """Train, closing after so many events; the number of events."""
    count = 0
    with closing(training.events()) as events:
        for count, _ in enumerate(events, 1):
            if count == stop:
                break
    return count


@pytest.fixture(scope="module")
def dcgan(folder: Path, pictures: Path) -> lamina.Run:
    training = begin(folder / "dcgan", pictures, epochs=3, ema=0.9)
    run_through(training)
    return training.run


def test_real_pictures_lie_where_the_generator_ends(dcgan: lamina.Run) -> None:
    """Images lie in [-1, 1] and the generator ends in tanh; with --normalisation unit, in [0, 1] and in a sigmoid."""
    assert dcgan.preprocess.signature()[0].bounds == (-1.0, 1.0)
    assert dcgan.model.config.output == "tanh"
    assert dcgan.config.objective is None or dcgan.config.objective == "non-saturating"


@pytest.mark.parametrize(("normalisation", "output"), [("unit", "sigmoid"), ("data", "linear"), ("half", "tanh")])
def test_the_last_non_linearity_follows_the_range_of_the_data(
    tmp_path: Path, pictures: Path, normalisation: str, output: str
) -> None:
    training = begin(tmp_path, pictures, steps=1, normalisation=normalisation)
    assert training.parts.model.config.output == output


def test_the_last_weights_are_kept_and_a_grid_of_each_epoch(dcgan: lamina.Run) -> None:
    grids = dcgan.directory.epoch_pictures()
    assert sorted(grids) == [1, 2, 3]
    checkpoint = torch.load(dcgan.directory.checkpoints.latest(), weights_only=True)["engine"]
    saved = load_file(dcgan.directory.weights)
    for name, value in checkpoint["average"]["generator"].items():
        if "running" not in name:  # measured anew for the weights that are saved
            assert torch.equal(saved[f"generator.{name}"], value), name
    for name, value in checkpoint["models"]["discriminator"].items():
        if "running" not in name:
            assert torch.equal(saved[f"discriminator.{name}"], value), name
    drawn = lamina.open_run(dcgan.path).generate(count=64, seed=dcgan.config.recipe.seed)
    grid = np.array(Image.open(grids[3]))
    factor = (grid.shape[0] - 2) // 8 - 2
    first = grid[2 : 2 + factor : factor // 16, 2 : 2 + factor : factor // 16]
    assert np.abs(first.astype(int) - drawn[0][..., 0].astype(int)).max() <= 1


def test_a_picture_is_a_function_of_seed_and_number(dcgan: lamina.Run, tmp_path: Path) -> None:
    nine = dcgan.generate(count=9, seed=1)
    assert all(picture.shape == (16, 16, 1) and picture.dtype == np.uint8 for picture in nine)
    alone = dcgan.generate(count=1, seed=1)[0]
    assert np.abs(nine[0].astype(int) - alone.astype(int)).max() <= 1
    assert len({picture.tobytes() for picture in nine}) > 1
    assert not np.array_equal(nine[0], dcgan.generate(count=1, seed=2)[0])
    copy = shutil.copytree(dcgan.path, tmp_path / "elsewhere" / "copy")
    words = ["generate", "--seed", "1", "--count", "9", "--out"]
    for run, out in ((dcgan.path, "a"), (dcgan.path, "b"), (copy, "c")):
        assert main([words[0], str(run), *words[1:], str(tmp_path / out)]) == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [f"{i:04}.png" for i in range(9)]
    for name in files:
        assert len({(tmp_path / out / name).read_bytes() for out in "abc"}) == 1
    assert np.array_equal(np.array(Image.open(tmp_path / "a" / "0000.png")), nine[0][..., 0])


def test_what_such_a_run_cannot_do_is_said(dcgan: lamina.Run) -> None:
    assert dcgan.verbs == ("evaluate", "generate", "inspect", "report", "export")
    with pytest.raises(UsageError, match=r"label 'above': .* is not conditional \(train with --model.classes 2\)"):
        dcgan.generate(label="above")
    with pytest.raises(UsageError, match="it continues no prompt"):
        dcgan.generate("Once upon")
    with pytest.raises(UsageError, match="is inspected as it is"):
        dcgan.inspect(np.zeros((8, 8)))
    page = dcgan.report()
    assert "Pictures during training" in page.read_text(encoding="utf-8")


def test_closed_at_any_event_and_resumed_it_is_the_same_run(folder: Path, pictures: Path) -> None:
    """In bf16, three steps of the critic an update, two batches a step, both optimisers, the average and its ramp."""
    options = {
        "precision": "bf16",
        "epochs": 2, "limit": 40, "accumulate": 2, "ema": 0.9, "checkpoint_every": 1, "validation": 0.0, "test": 0.0,
        "objective": {"name": "wasserstein-gp", "n_critic": 3},
        "model_options": {**NET, "discriminator_norm": "layer"},
    }  # fmt: skip
    whole = begin(folder / "whole", pictures, **options)
    count = run_through(whole)
    engine = whole.engine
    steps = {
        player: {int(state["step"]) for state in optimiser.optimizer.state.values()}
        for player, optimiser in engine.optimisers.items()
    }
    assert steps == {"generator": {engine.step}, "discriminator": {3 * engine.step}}
    assert engine.averaged_updates == {"generator": engine.step}
    assert engine.images_seen == engine.step * 6 * 8
    expected = torch.load(whole.directory.checkpoints.latest(), weights_only=True)
    assert count >= 7
    for stop in range(1, count):
        training = begin(folder / f"cut-{stop}", pictures, **options)
        run_through(training, stop)
        again = prepare(
            None, {}, name=training.directory.path.name, directory=training.directory.path.parent, resume=True
        )
        run_through(again)
        found = torch.load(again.directory.checkpoints.latest(), weights_only=True)
        assert_same(found["engine"], expected["engine"])
        assert again.directory.weights.read_bytes() == whole.directory.weights.read_bytes()


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


def test_the_penalty_stays_in_float32_under_bf16(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes: set[torch.dtype] = set()
    plain = games.squared_slopes

    def spied(*args: Any) -> Tensor:
        slopes = plain(*args)
        dtypes.add(slopes.dtype)
        return slopes

    monkeypatch.setattr(games, "squared_slopes", spied)
    training = begin(
        tmp_path, pictures, steps=200, precision="bf16", batch_size=4, ema=0.9,
        objective={"name": "wasserstein-gp", "n_critic": 1}, validation=0.0, test=0.0,
        model_options={**NET, "discriminator_norm": "layer"},
    )  # fmt: skip
    rows = []
    with closing(training.events()) as events:
        rows = [event.train for event in events if isinstance(event, EpochDone)]
    assert training.engine.step == 200
    assert dtypes == {torch.float32}
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert all(row["penalty"] > 0 for row in rows)
    judged = training.engine.models["discriminator"](torch.zeros(2, 1, 16, 16), None)
    assert judged.isfinite().all()


@pytest.mark.parametrize(
    ("model", "norm", "options", "eager"),
    [
        ("wgan-gp", "layer", {}, True),
        ("dcgan-16", "none", {"objective": {"name": "hinge", "r1": 1.0}}, True),
        ("dcgan-16", "batch", {}, False),
        ("wgan", "batch", {}, False),
    ],
)
def test_only_a_discriminator_that_is_differentiated_twice_is_not_compiled(
    tmp_path: Path, pictures: Path, model: str, norm: str, options: dict[str, Any], eager: bool
) -> None:
    net = {**NET, "image_size": 16, "discriminator_norm": norm}
    training = begin(tmp_path, pictures, model, steps=1, compile=True, model_options=net, **options)
    raw = training.engine.raw
    assert raw["generator"]._compiled_call_impl is not None
    assert (raw["discriminator"]._compiled_call_impl is None) == eager
    text = "discriminator is not compiled: torch.compile does not support gradients of its gradients"
    assert [note for note in training.notes if "not compiled" in note] == eager * [text]


def test_weights_of_a_clipped_critic(tmp_path: Path, pictures: Path) -> None:
    training = begin(tmp_path, pictures, "wgan", steps=3, model_options={**NET, "image_size": 16})
    assert training.parts.task.options == ClippedOptions()  # the variant's own objective
    assert training.engine.recipes["discriminator"].optimizer == "rmsprop"
    run_through(training)
    weights = list(training.parts.model.discriminator.parameters())
    assert max(weight.abs().max().item() for weight in weights) == pytest.approx(0.01)


def test_classes_are_generated_by_name(folder: Path, pictures: Path) -> None:
    """Bright above or below: a conditional net learns it in seconds."""
    options = {"model_options": {**NET, "generator_widths": (24, 12), "discriminator_widths": (12, 24), "classes": 2}}
    training = begin(folder / "classes", pictures, epochs=10, lr=0.003, validation=0.0, test=0.0, **options)
    run_through(training)
    run = training.run
    for name, sign in (("above", 1), ("below", -1)):
        drawn = np.stack(run.generate(count=12, seed=3, label=name))[..., 0].astype(float)
        difference = drawn[:, :8].mean((1, 2)) - drawn[:, 8:].mean((1, 2))
        assert (sign * difference > 0).mean() >= 0.9, (name, difference)
    turns = run.generate(count=2, seed=3)
    assert turns[0].astype(float)[:8].mean() > turns[1].astype(float)[:8].mean()  # in turn: above, below
    with pytest.raises(UsageError, match="unknown label 'abov'; did you mean 'above'"):
        run.generate(label="abov")


def test_a_table_of_two_columns(tmp_path: Path) -> None:
    """Rows as they are given: of two clusters, in the data's own units."""
    draws = np.random.default_rng(0)
    points = draws.normal(0, 0.3, (600, 2)) + np.where(np.arange(600) % 2, 4.0, -4.0)[:, None] + 100
    lines = ["a,b", *(f"{x:.4f},{y:.4f}" for x, y in points)]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    run = lamina.train(
        "gan-toy", data=str(tmp_path / "points.csv"), directory=tmp_path, steps=250, lr=0.003, batch_size=64,
        report=False, objective={"name": "non-saturating", "r1": 0.1}, model_options={"generator_hidden": (48, 48),
        "discriminator_hidden": (48, 48)},
    )  # fmt: skip
    rows = run.generate(count=200, seed=0)
    assert set(rows[0]) == {"a", "b"}
    values = np.array([[float(row["a"]), float(row["b"])] for row in rows])
    assert np.abs(values.mean(0) - 100).max() < 2.5
    assert (values[:, 0] > 100).mean() == pytest.approx(0.5, abs=0.35)
    assert main(["generate", str(run.path), "--count", "3", "--out", str(tmp_path / "rows.csv")]) == 0
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 4


def test_a_discriminator_that_has_won_is_a_warning_and_no_stop(tmp_path: Path, pictures: Path) -> None:
    """The generator hardly moves."""
    options = {"name": "non-saturating", "n_critic": 4, "discriminator_rate": 100.0}
    with pytest.warns(UserWarning, match="on the validation split the model is out of balance: the discriminator has"):
        run = lamina.train(
            "dcgan-16", data=str(pictures), directory=tmp_path, steps=12, batch_size=16, lr=1e-5, report=False,
            objective=options, model_options=NET,
        )  # fmt: skip
    assert run.history[-1]["validation_verdict"] > 0.98
    assert len(run.generate(count=2)) == 2


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("dcgan-16", {"objective": "wasserstein-gp"}, "the discriminator's output depends on the other samples"),
        ("dcgan-16", {"label_smoothing": 0.1}, "label_smoothing is for tasks that predict classes"),
        ("dcgan-16", {"model_options": {**NET, "classes": 3}}, "classes=3 does not fit the data, which have 2 classes"),
        ("dcgan", {"model_options": {"image_size": 20}}, "image_size 20 cannot be halved 4 times"),
        ("dcgan-16", {"batch_size": 256}, "batch size 256 is larger than the training data"),
        ("dcgan-16", {"objective": "wassersteingp"}, "did you mean 'wasserstein-gp'"),
        ("dcgan-16", {"patience": 3}, "watch a validation metric"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, pictures: Path, model: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(lamina.LaminaError, match=reason):
        run_through(begin(tmp_path, pictures, model, steps=1, **options))


def test_pictures_without_labels(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "flat").mkdir()
    for path in sorted(pictures.rglob("*.png"))[:20]:
        shutil.copy(path, tmp_path / "flat" / path.name)
    run_through(begin(tmp_path / "runs", tmp_path / "flat", steps=2))
    with pytest.raises(UsageError, match="classes=2 does not fit the data, which have no classes"):
        begin(tmp_path / "runs", tmp_path / "flat", steps=2, name="again", model_options={**NET, "classes": 2})
