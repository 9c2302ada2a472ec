"""Runs of CycleGAN: both sides in each step, pool and rate resumed to the bit, two processes, pictures translated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import lamina
from lamina.cli.main import main
from lamina.errors import DataError, UsageError
from lamina.runs.image.cycles import framed
from lamina.runs.training import Training, prepare
from lamina.tasks.adversarial.cycle import ImageTranslation, Pool
from lamina.tasks.adversarial.cycle_options import CycleOptions
from lamina.tasks.base import one_tensor
from lamina.training.events import StepDone
from waiting import CHILD_SECONDS

NET: dict[str, Any] = {
    "width": 2, "blocks": 1, "discriminator_width": 2, "discriminator_layers": 1, "image_size": 8, "in_channels": 3,
}  # fmt: skip
SIDES = {"trainA": 7, "trainB": 12, "testA": 2, "testB": 3}


def save_pictures(root: Path, folders: dict[str, int], size: tuple[int, int] = (8, 8)) -> Path:
    """Noise, dark on side A and bright on side B; the third channel of A is 0."""
    draws = np.random.default_rng(0)
    for name, count in folders.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            values = draws.integers(0, 80, (*size, 3)) + (150 if name.endswith("B") else 0)
            values[..., 2] *= name.endswith("B")
            Image.fromarray(values.astype("uint8")).save(root / name / f"{name}-{i}.png")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("sides"), SIDES)


def begin(directory: Path, data: Any, **options: Any) -> Training:
    given = {
        "data": data, "batch_size": 2, "validation": 0.0, "lr": 0.002, "model": NET, "flip": False,
        "objective": {"name": "least-squares", "pool": 3}, **options,
    }  # fmt: skip
    return prepare("cyclegan", given, directory=directory)


def run_through(training: Training, stop: int | None = None) -> list[Any]:
    seen = []
    with closing(training.events()) as events:
        for event in events:
            seen.append(event)
            if len(seen) == stop:
                break
    return seen


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    training = begin(tmp_path_factory.mktemp("trained"), str(root), epochs=3)
    run_through(training)
    return training.run


@pytest.mark.parametrize("two", [False, True], ids=["trainA and trainB", "two folders"])
def test_each_step_draws_from_both_sides(
    root: Path, tmp_path: Path, two: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 and 12 pictures: the longer side counts epochs, the shorter one goes round in an epoch of its own."""
    data = (str(root / "trainA"), str(root / "trainB")) if two else str(root)
    training = begin(tmp_path, data, epochs=2, test=0.0)
    drawn: list[tuple[int, float]] = []
    plain = ImageTranslation.input

    def spied(task: ImageTranslation, batch: dict[str, Tensor], channels: int) -> Tensor:
        x = plain(task, batch, channels)
        drawn.append((len(x), float(x.mean())))
        return x

    monkeypatch.setattr(ImageTranslation, "input", spied)
    steps = [event for event in run_through(training) if isinstance(event, StepDone)]
    assert len(steps) == 12  # 6 batches of side B twice
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))[:12]
    assert all(a[0] == b[0] == 2 and a[1] < -0.3 < 0.3 < b[1] for a, b in pairs)
    assert training.streams["B"].per_epoch == 6
    assert training.streams["A"].per_epoch == 3
    assert {"loss", "cycle", "identity", "adversarial", "discriminator_loss"} <= steps[0].logs.keys()


def test_closed_at_any_event_and_resumed_it_is_the_same_run(root: Path, tmp_path: Path) -> None:
    """The pool, what is drawn from it, the rate that falls from half of training on, both optimisers, the average."""
    options = {
        "epochs": 2, "batch_size": 3, "schedule": "linear", "decay_start": 0.5, "ema": 0.9, "accumulate": 2,
    }  # fmt: skip
    whole = begin(tmp_path / "whole", str(root), **options)
    seen = run_through(whole)
    expected = torch.load(whole.directory.checkpoints.latest(), weights_only=True)
    pools = expected["engine"]["carried"][0]["task"]["pools"]
    kept = {side: (tuple(pool.shape), pool.dtype) for side, pool in pools.items()}
    assert kept == dict.fromkeys("AB", ((3, 3, 8, 8), torch.uint8))
    for stop in range(1, len(seen)):
        training = begin(tmp_path / f"cut-{stop}", str(root), **options)
        run_through(training, stop)
        again = prepare(None, {}, name=training.directory.path.name, directory=tmp_path / f"cut-{stop}", resume=True)
        run_through(again)
        found = torch.load(again.directory.checkpoints.latest(), weights_only=True)
        assert_same(found["engine"], expected["engine"])
        assert again.directory.weights.read_bytes() == whole.directory.weights.read_bytes()
        assert [row["lr"] for row in again.run.history] == [row["lr"] for row in whole.run.history]


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


def test_a_pool_returns_old_pictures_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool, old, seen = Pool(50, (-1.0, 1.0)), 0, 0
    for i in range(600):
        x = torch.full((2, 1, 2, 2), -1 + 2 * (i % 256) / 255)
        given = pool.exchange(x)
        assert given.shape == x.shape
        if i >= 25:
            seen += 2
            old += int((given != x).flatten(1).any(1).sum())
        else:
            assert torch.equal(given, x)  # not yet full
    assert len(pool.state()) == 50
    assert old / seen == pytest.approx(0.5, abs=0.06)
    assert torch.equal(Pool(0, (-1.0, 1.0)).exchange(x), x)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), (-2.1, 2.6)])
def test_a_picture_of_the_pool_is_rounded_to_grey_levels(bounds: tuple[float, float]) -> None:
    torch.manual_seed(1)
    pool = Pool(1, bounds)
    first = torch.rand(1, 3, 5, 5) * (bounds[1] - bounds[0]) + bounds[0]
    pool.exchange(first)
    given = first
    while torch.equal(given, first) or float((given - first).abs().max()) > 1:
        given = pool.exchange(torch.full_like(first, 100.0))
        if float(given.max()) < 50:
            break
    assert float((given - first).abs().max()) <= 0.51 * (bounds[1] - bounds[0]) / 255


def test_the_losses_are_those_of_the_released_code(root: Path, tmp_path: Path) -> None:
    """One update by hand: cycle_gan_model.py, lambda 10, identity 0.5, discriminators halved, Adam (0.5, 0.999)."""
    options = {"epochs": 1, "batch_size": 4, "precision": "fp64", "test": 0.0, "objective": {"pool": 0}}
    training = begin(tmp_path, str(root), **options)
    model, mse, l1 = training.parts.model, torch.nn.functional.mse_loss, torch.nn.functional.l1_loss
    batches = {side: next(iter(training.streams[side].batches(0)))["image"].double() for side in "AB"}
    a, b = batches["A"], batches["B"]
    there, back = model.generators.a_to_b, model.generators.b_to_a
    judge_a, judge_b = model.discriminators.a, model.discriminators.b
    fake_b, fake_a = there(a), back(b)
    ones = [torch.ones_like(judge(x)) for judge, x in ((judge_b, fake_b), (judge_a, fake_a))]
    generators = (
        mse(judge_b(fake_b), ones[0]) + mse(judge_a(fake_a), ones[1])
        + 10 * (l1(back(fake_b), a) + l1(there(fake_a), b)) + 5 * (l1(there(b), b) + l1(back(a), a))
    )  # fmt: skip
    discriminators = sum(
        (mse(judge(real), one) + mse(judge(fake.detach()), 0 * one)) / 2
        for judge, real, fake, one in ((judge_b, b, fake_b, ones[0]), (judge_a, a, fake_a, ones[1]))
    )
    first = next(event for event in training.events() if isinstance(event, StepDone))
    assert float(first.logs["loss"]) == pytest.approx(generators.item(), abs=1e-12)
    assert float(first.logs["discriminator_loss"]) == pytest.approx(discriminators.item(), abs=1e-12)
    for player in ("generators", "discriminators"):
        optimiser = training.engine.optimisers[player].optimizer
        assert len(training.engine.optimisers) == 2
        assert [group["betas"] for group in optimiser.param_groups] == [(0.5, 0.999)]


def test_a_folder_is_translated_to_both_sides(trained: lamina.Run, tmp_path: Path) -> None:
    """Names and sizes stay, a multiple of four or not; one call for a folder."""
    photos = save_pictures(tmp_path / "photos", {"x": 2}, (9, 14)) / "x"
    save_pictures(photos, {"deeper": 1}, (12, 8))
    for side in "AB":
        assert main(["predict", str(trained.path), str(photos), "--to", side, "--out", str(tmp_path / side)]) == 0
        made = sorted((tmp_path / side).iterdir())
        assert [path.name for path in made] == ["deeper-0.png", "x-0.png", "x-1.png"]
        sizes = {path.stem: Image.open(path).size for path in made}
        assert sizes == {"x-0": (14, 9), "x-1": (14, 9), "deeper-0": (8, 12)}
    one = trained.predict(photos / "x-0.png", to="A")[0]["picture"]
    assert one.shape == (9, 14, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(np.array(Image.open(tmp_path / "A" / "x-0.png")), one)
    assert not np.array_equal(one, trained.predict(photos / "x-0.png")[0]["picture"])  # to B unless asked
    model, x = trained.model, torch.from_numpy(np.array(Image.open(photos / "x-0.png"))).permute(2, 0, 1)[None]
    wanted = model.generators.b_to_a(x / 127.5 - 1)[0].permute(1, 2, 0)
    assert np.abs((wanted.detach().numpy() + 1) * 127.5 - one).max() <= 0.51


def test_what_cannot_be_translated_is_said(
    trained: lamina.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = save_pictures(tmp_path, {"x": 1}, (4, 9)) / "x" / "x-0.png"
    with pytest.raises(DataError, match=r"x-0.png has 9 x 4 pixels, the net needs at least 8 a side"):
        trained.predict(photo)
    assert main(["predict", str(trained.path), str(photo)]) == 2
    assert "translated pictures are written to a folder: --out FOLDER" in capsys.readouterr().err
    assert main(["predict", str(trained.path), str(photo), "--to", "C", "--out", str(tmp_path / "o")]) == 2
    assert "A" in capsys.readouterr().err
    assert trained.verbs == ("evaluate", "predict", "inspect", "report", "export")
    with pytest.raises(UsageError, match="has no generate"):
        trained.generate()


def test_evaluation_takes_each_side_there_and_back(trained: lamina.Run) -> None:
    found = trained.evaluate("test")
    cycles = []
    for side, (there, back) in {
        "A": (trained.model.generators.a_to_b, trained.model.generators.b_to_a),
        "B": (trained.model.generators.b_to_a, trained.model.generators.a_to_b),
    }.items():
        for path in sorted((Path(trained.config.data) / f"test{side}").iterdir()):
            x = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None] / 127.5 - 1
            cycles.append((back(there(x)) - x).abs().mean().item())
    assert found["cycle"] == pytest.approx(np.mean(cycles), abs=1e-5)
    assert found["loss"] == pytest.approx(found["adversarial"] + 10 * found["cycle"], abs=1e-5)


def test_identity_is_off_where_channels_differ(root: Path, tmp_path: Path) -> None:
    training = begin(tmp_path, str(root), epochs=1, model={**NET, "b_channels": 1})
    assert any("no identity loss: side A has 3 channels, side B 1" in note for note in training.notes)
    steps = [event for event in run_through(training) if isinstance(event, StepDone)]
    assert "identity" not in steps[0].logs
    run = training.run
    photo = root / "trainA" / "trainA-0.png"
    assert run.predict(photo)[0]["picture"].shape == (8, 8, 1)
    assert run.predict(photo, to="A")[0]["picture"].shape == (8, 8, 3)
    assert run.evaluate()["cycle"] > 0
    assert any("more than half of the cycle's weight" in note for note in begin(
        tmp_path, str(root), epochs=1, objective={"identity": 0.6}).notes)  # fmt: skip
    assert not any("identity" in note for note in begin(tmp_path, str(root), epochs=1).notes)


def test_more_epochs_change_the_rate_and_that_is_said(root: Path, tmp_path: Path) -> None:
    options = {"epochs": 4, "schedule": "linear", "decay_start": 0.5}
    training = begin(tmp_path, str(root), **options, name="run")
    with closing(training.events()) as events:
        for event in events:
            if getattr(event, "epoch", None) == 1 and not isinstance(event, StepDone):
                break
    name, where = training.directory.path.name, training.directory.path.parent
    early = prepare(None, {"epochs": 8}, name=name, directory=where, resume=True, dry=True)
    assert any(
        "falls from decay_start 0.5 of training on: after 4 epochs, not after 2" in n for n in early.resume_notes
    )
    run_through(prepare(None, {}, name=name, directory=where, resume=True))
    late = prepare(None, {"epochs": 5}, name=name, directory=where, resume=True, dry=True)
    assert any("goes up again" in note for note in late.resume_notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare(None, {"checkpoint_every": 3}, name=name, directory=where, resume=True, dry=True)


@pytest.mark.parametrize(
    ("folders", "options", "reason"),
    [
        ({"trainA": 4}, {}, "there are images in 'trainA' and none in 'trainB'"),
        ({"x": 3, "y": 3, "z": 3}, {}, "3 classes.*give a source of exactly 2 classes"),
        ({"trainA": 3, "trainB": 9}, {"batch_size": 4}, "side A: batch size 4 is larger.*3 samples"),
        ({"trainA": 4, "trainB": 4}, {"objective": {"cycle": -1}}, "cycle must not be negative"),
        ({"trainA": 4, "trainB": 4}, {"schedule": "constant", "decay_start": 0.5}, "decay_start is for the schedules"),
        ({"trainA": 4, "trainB": 4}, {"decay_start": 1.0}, "decay_start must lie in"),
        ({"trainA": 4, "trainB": 4}, {"label_smoothing": 0.1}, "label_smoothing is for tasks that predict classes"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, folders: dict[str, int], options: dict[str, Any], reason: str
) -> None:
    data = save_pictures(tmp_path / "data", folders)
    with pytest.raises(lamina.LaminaError, match=reason):
        begin(tmp_path / "runs", str(data), epochs=1, test=0.0, **options)
    assert not (tmp_path / "runs").exists()


def test_a_picture_of_each_side_there_and_back_is_kept_of_each_epoch(trained: lamina.Run) -> None:
    pictures = trained.directory.epoch_pictures()
    assert sorted(pictures) == [1, 2, 3]
    assert "Pictures during training" in trained.report().read_text(encoding="utf-8")


def test_an_inspection_shows_cycles_and_patches(trained: lamina.Run, tmp_path: Path) -> None:
    page = trained.inspection()
    assert [section.name for section in page.sections] == ["cycles", "patches", "balance"]
    model = trained.model
    for side, (there, back), judge in (
        ("A", (model.generators.a_to_b, model.generators.b_to_a), model.discriminators.b),
        ("B", (model.generators.b_to_a, model.generators.a_to_b), model.discriminators.a),
    ):
        cycle = page.seen.sides[side]
        fake = there(cycle.real_NCHW)
        torch.testing.assert_close(cycle.fake_NCHW, fake, rtol=0, atol=1e-5)
        error = (back(fake) - cycle.real_NCHW).abs().mean((1, 2, 3)) * 127.5
        torch.testing.assert_close(cycle.error_N, error, rtol=0, atol=1e-3)
        torch.testing.assert_close(cycle.fake_score_Nhw, judge(fake)[:, 0], rtol=0, atol=1e-5)
    assert page.seen.field == model.discriminators.a.field()
    assert main(["inspect", str(trained.path), "--out", str(tmp_path / "seen")]) == 0
    assert {"inspect.html", "cycles.png", "patches.png"} <= {path.name for path in (tmp_path / "seen").iterdir()}
    assert main(["inspect", str(trained.path), "--image", "x.png"]) == 2
    assert "There and back" in trained.report().read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="stage is for models that predict classes"):
        trained.inspection(stage=1)


def test_frames_are_where_the_patches_are() -> None:
    """The highest score in the first row and column, whose patch begins in the padding; the lowest in the last."""
    score = np.zeros((3, 3))
    score[0, 0], score[2, 1] = 1.0, -1.0
    drawn = framed(np.zeros((224, 224, 1), dtype=np.uint8), score, (70, 64, -31))
    green, red = ((drawn == colour).all(2) for colour in ((26, 152, 80), (215, 48, 39)))
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 38, 0, 38)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (97, 166, 33, 102)


def test_a_pool_that_is_empty_is_restored_empty() -> None:
    task = ImageTranslation(one_tensor("image"), (-1.0, 1.0), options=CycleOptions(pool=1))
    assert task.state_dict()["pools"]["A"].numel() == 0
    task.load_state_dict(task.state_dict())
    assert not task.pools["A"].pictures


def test_two_processes_hold_the_same_weights(root: Path, tmp_path: Path) -> None:
    """Each keeps a pool of its own; resumed they go on with it."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("cyclegan_child.py")), str(root), str(tmp_path)],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said, _ = child.communicate(timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        pytest.fail("two processes did not end")
    assert child.returncode == 0, said
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["weights"][0] == found["weights"][1]
    assert found["pools"][0] != found["pools"][1]
    state = torch.load(found["checkpoint"], weights_only=True)["engine"]["carried"]
    assert [len(one["task"]["pools"]["A"]) for one in state] == [3, 3]
    again = prepare(None, {"devices": 1, "epochs": 9}, name="run", directory=tmp_path, resume=True)
    with pytest.raises(lamina.LaminaError, match="2 processes carried the state: resume with --devices 2"):
        run_through(again)
