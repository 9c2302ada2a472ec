"""Runs of ProGAN and the StyleGANs: sizes in turn, resumed to the bit in mid-fade and at the turn, few pictures."""

from __future__ import annotations

import math
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
from lamina.cli.training.plan import plan
from lamina.errors import UsageError
from lamina.runs.training import Training, prepare
from lamina.tasks.adversarial.few_pictures import AdaptiveProbability, augmented
from lamina.tasks.adversarial.games import squared_slopes
from lamina.tasks.adversarial.style import StyleAdversarial, StyleOptions
from lamina.tasks.base import one_tensor
from lamina.training.events import EpochDone, StepDone

NET: dict[str, Any] = {"image_size": 16, "base": 16, "widest": 4, "latent": 4, "group": 2}
STYLED: dict[str, Any] = {**NET, "style": 4, "mapping_layers": 2}
GROWING: dict[str, Any] = {
    "name": "non-saturating", "r1": 1.0, "start": 4, "stable_images": 8, "fade_images": 8, "batch_sizes": (8, 4),
    "rates": (1.0, 0.5),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 grey pictures of 16 x 16."""
    folder, draws = tmp_path_factory.mktemp("styles") / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for i in range(32):
        Image.fromarray(draws.integers(0, 255, (16, 16)).astype("uint8")).save(folder / f"{i:02}.png")
    return folder


def begin(directory: Path, data: Path, model: str = "stylegan", net: Any = None, **options: Any) -> Training:
    given = {
        "data": str(data), "batch_size": 4, "lr": 0.002, "ema": 0.9, "validation": 0.0, "test": 0.0,
        "model": net or (NET if model == "progan" else STYLED), "objective": GROWING, **options,
    }  # fmt: skip
    if not {"images", "epochs", "steps"} & given.keys():
        given["images"] = 40
    return prepare(model, given, directory=directory)


def run_through(training: Training, stop: int | None = None) -> list[Any]:
    seen = []
    with closing(training.events()) as events:
        for event in events:
            seen.append(event)
            if len(seen) == stop:
                break
    return seen


def again_of(training: Training, **options: Any) -> Training:
    path = training.directory.path
    return prepare(None, options, name=path.name, directory=path.parent, resume=True)


def test_closed_at_any_event_and_resumed_it_is_the_same_run(pictures: Path, tmp_path: Path) -> None:
    """4, 8 and 16 pixels with fades, R1, batch sizes and rates of each size, optimisers reset, the mean of w."""
    whole = begin(tmp_path / "whole", pictures)
    fades: list[tuple[int, float]] = []
    counts: list[int] = []
    seen = []
    with closing(whole.events()) as events:
        for event in events:
            seen.append(event)
            if isinstance(event, StepDone):
                phase = whole.engine.phase
                fades.append((phase.resolution, phase.fade))
                counts.append(
                    max(int(s["step"]) for s in whole.engine.optimisers["generator"].optimizer.state.values())
                )
    sizes = [size for size, _ in fades]
    assert fades == [(4, 1.0), *((size, fade) for size in (8, 16) for fade in (0.0, 0.5, 1.0, 1.0))]
    turn = sizes.index(16)
    assert counts[turn - 1] > 1
    assert counts[turn] == counts[1] == 1  # reset at the turn
    expected = torch.load(whole.directory.checkpoints.latest(), weights_only=True)
    for stop in range(1, len(seen)):
        training = begin(tmp_path / f"cut-{stop}", pictures)
        run_through(training, stop)
        again = again_of(training)
        run_through(again)
        found = torch.load(again.directory.checkpoints.latest(), weights_only=True)
        assert_same(found["engine"], expected["engine"])
        assert again.directory.weights.read_bytes() == whole.directory.weights.read_bytes()
    model = expected["engine"]["models"]["generator"]
    assert model["w_mean"].abs().sum() > 0
    average = expected["engine"]["average"]["generator"]
    assert "fade" not in average


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


@pytest.fixture(scope="module")
def stopped(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    """Stopped at 8 pixels, half faded in."""
    training = begin(tmp_path_factory.mktemp("stopped"), pictures, images=12)
    run_through(training)
    return training.run


def test_a_run_stopped_at_8_pixels_gives_pictures_of_8_pixels(stopped: lamina.Run, tmp_path: Path) -> None:
    small = stopped.generate(count=3, seed=1)
    assert {picture.shape for picture in small} == {(8, 8, 1)}
    large = stopped.generate(count=3, seed=1, full_size=True)
    assert {picture.shape for picture in large} == {(16, 16, 1)}
    assert np.array_equal(large[0], small[0].repeat(2, 0).repeat(2, 1))
    assert main(["generate", str(stopped.path), "--count", "2", "--out", str(tmp_path / "made")]) == 0
    assert Image.open(tmp_path / "made" / "0001.png").size == (8, 8)
    grids = stopped.directory.epoch_pictures()
    assert grids


def test_what_rests_is_its_own_average(pictures: Path, tmp_path: Path) -> None:
    """Until a block wakes its average is its value, to the bit; then they part."""
    training = begin(tmp_path, pictures, images=16)
    run_through(training)
    weights, average = training.engine.raw["generator"].state_dict(), training.engine.average["generator"]
    resting = [name for name in average if name.startswith(("blocks.1.", "to_rgb.2."))]
    assert resting
    assert all(torch.equal(average[name], weights[name]) for name in resting)
    assert any(not torch.equal(average[n], weights[n]) for n in average if n.startswith("conv."))


def test_truncation_and_a_matrix_of_mixed_styles(stopped: lamina.Run, tmp_path: Path) -> None:
    same = stopped.generate(count=4, seed=1, truncation=0.0)
    assert len({picture.tobytes() for picture in same}) == 1
    matrix = stopped.generate(seed=2, style_mix=(2, 3), mix_layer=1)
    assert len(matrix) == 3 * 4
    columns, (first, *mixed) = matrix[1:4], matrix[4:8]
    apart = stopped.generate(count=5, seed=2)
    assert np.array_equal(first, apart[0])
    assert all(np.array_equal(a, b) for a, b in zip(columns, apart[2:], strict=True))
    assert all(one.shape == (8, 8, 1) for one in mixed)
    words = ["generate", str(stopped.path), "--style-mix", "2", "3", "--out", str(tmp_path / "m.png")]
    assert main(words) == 0
    width, height = Image.open(tmp_path / "m.png").size
    assert width > height  # four columns, three rows
    way = stopped.generate(seed=2, interpolate=(0, 2), count=3)
    assert np.array_equal(way[0], apart[0])
    assert np.array_equal(way[2], apart[2])
    generator = stopped.model.generator
    w = generator.styles(generator.draw(3, 2))
    middle = stopped.view.shown(generator.pictured(w[:1] / 2 + w[2:] / 2))[0]
    assert np.abs(middle.astype(int) - way[1].astype(int)).max() <= 1
    assert main(["generate", str(stopped.path), "--interpolate", "0", "2", "--out", str(tmp_path / "way.gif")]) == 0
    assert (tmp_path / "way.gif").read_bytes()[:3] == b"GIF"
    for options, reason in (
        ({"truncation": 1.2}, r"truncation must lie in \[0, 1\], got 1.2"),
        ({"style_mix": (2, 3), "mix_layer": 4}, "mix_layer=4: the net has 4 layers with a style, choose 1 to 3"),
        ({"mix_layer": 1}, "mix_layer is for style_mix"),
        ({"style_mix": (2, 0)}, "style_mix takes two numbers"),
    ):
        with pytest.raises(UsageError, match=reason):
            stopped.generate(**options)


def test_an_inspection_shows_styles_noise_and_walks(stopped: lamina.Run, tmp_path: Path) -> None:
    """Of a net that has not grown up, too: real pictures are lowered to its size."""
    page = stopped.inspection()
    seen, generator = page.seen, stopped.model.generator
    names = [section.name for section in page.sections]
    assert names == ["mixing", "noise", "walks", "balance", "nearest"]
    assert seen.change_N.shape == (4,)
    w = generator.styles(generator.draw(32, stopped.config.recipe.seed))
    whole, other = generator.pictured(w[:16]), generator.pictured(w[16:])
    assert seen.change_N[0].item() == pytest.approx(float((other - whole).abs().mean()) * 127.5, rel=1e-5)
    last = generator.pictured(torch.cat([w[:16, :3], w[16:, 3:]], 1))
    assert seen.change_N[3].item() == pytest.approx(float((last - whole).abs().mean()) * 127.5, rel=1e-5)
    assert seen.noise_deviation_NCSS.shape == (4, 1, 8, 8)
    weights = [part.noise_weight for part in generator.modules() if hasattr(part, "noise_weight")]
    kept = [weight.data.clone() for weight in weights]
    for weight in weights:
        weight.data.zero_()
    assert stopped.inspect().noise_deviation_NCSS.abs().max() < 1e-6
    for weight, value in zip(weights, kept, strict=True):
        weight.data.copy_(value)
    assert dict(page.predictions)["size of pictures"] == "8 pixels"
    assert main(["inspect", str(stopped.path), "--out", str(tmp_path / "seen")]) == 0
    assert {"mixing.png", "noise.png", "walks.png"} <= {path.name for path in (tmp_path / "seen").iterdir()}
    html = stopped.report().read_text(encoding="utf-8")
    assert "Layers 0 to 1 of the row, 2 to 3 of the column" in html
    with pytest.raises(UsageError, match="class is for models that predict classes"):
        stopped.inspect(target=3)


def test_progan_has_no_styles(pictures: Path, tmp_path: Path) -> None:
    objective = {**GROWING, "name": "wasserstein-gp"}
    objective.pop("r1")
    training = begin(tmp_path, pictures, "progan", images=24, objective=objective)
    steps = [event for event in run_through(training) if isinstance(event, StepDone)]
    assert all(math.isfinite(float(v)) for event in steps for v in event.logs.values())
    run = training.run
    assert run.generate(count=2)[0].shape == (8, 8, 1)
    with pytest.raises(UsageError, match="truncation is for generators with styles, which this net is not"):
        run.generate(truncation=0.5)
    assert [section.name for section in run.inspection().sections] == ["walks", "balance", "nearest"]


@pytest.mark.parametrize("model", ["stylegan", "stylegan2"])
def test_a_hundred_steps_in_bf16(pictures: Path, tmp_path: Path, model: str) -> None:
    objective = dict(GROWING) if model == "stylegan" else {"r1": 1.0, "r1_interval": 4, "path_length": 2.0}
    training = begin(tmp_path, pictures, model, steps=100, precision="bf16", objective=objective)
    rows = [event for event in run_through(training) if isinstance(event, EpochDone)]
    assert training.engine.step == 100
    assert all(math.isfinite(value) for row in rows for value in row.train.values())
    assert np.isfinite(np.stack(training.run.generate(count=2)).astype(float)).all()


def test_lazy_terms_and_few_pictures_resume(pictures: Path, tmp_path: Path) -> None:
    """Path length every third step, R1 every second, p that follows the scores: logged when computed, and kept."""
    objective = {"r1": 1.0, "r1_interval": 2, "path_length": 2.0, "path_interval": 3}
    objective |= {"augment_target": 0.6, "augment_images": 100}
    options = {"steps": 7, "objective": objective}
    whole = begin(tmp_path / "whole", pictures, "stylegan2", **options)
    steps = [event for event in run_through(whole) if isinstance(event, StepDone)]
    assert [i for i, event in enumerate(steps) if "path_length" in event.logs] == [0, 3, 6]
    assert [i for i, event in enumerate(steps) if "r1" in event.logs] == [0, 2, 4, 6]
    expected = torch.load(whole.directory.checkpoints.latest(), weights_only=True)["engine"]
    carried = expected["carried"][0]["task"]
    assert float(carried["path_mean"]) > 0
    assert 0 <= carried["augment"] <= 1
    for stop in (2, 4, 5):
        training = begin(tmp_path / f"cut-{stop}", pictures, "stylegan2", **options)
        run_through(training, stop)
        again = again_of(training)
        run_through(again)
        assert_same(torch.load(again.directory.checkpoints.latest(), weights_only=True)["engine"], expected)
    recipes = whole.engine.recipes
    assert recipes["discriminator"].lr == pytest.approx(0.002 * 2 / 3)
    assert recipes["generator"].lr == pytest.approx(0.002 * 3 / 4)
    assert recipes["generator"].beta2 == pytest.approx(0.99**0.75)
    assert recipes["discriminator"].beta2 == pytest.approx(0.99 ** (2 / 3))


def test_r1_now_and_then_has_the_mean_gradient_of_r1(pictures: Path, tmp_path: Path) -> None:
    """At every 16th step with 16 times the weight: the gradients of 16 steps add up to the same, batch for batch."""
    training = begin(tmp_path, pictures, "stylegan2", steps=1, precision="fp64", objective={"r1": 1.0})
    judge = training.parts.model.discriminator
    torch.manual_seed(0)
    x = torch.randn(4, 1, 16, 16, dtype=torch.float64)

    def gradient(weight: float) -> Tensor:
        judge.zero_grad()
        (weight * squared_slopes(judge, x, None).mean() / 2).backward()
        return torch.cat([p.grad.flatten() for p in judge.parameters() if p.grad is not None])

    torch.testing.assert_close(gradient(16.0) / 16, gradient(1.0), rtol=1e-12, atol=0)


def test_data_are_lowered_as_the_generator_fades() -> None:
    task = StyleAdversarial(one_tensor("image"), (1, 16, 16), options=StyleOptions(start=4))
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    task.side, task.fade = 8, 0.25
    blocks = x.reshape(2, 1, 8, 2, 8, 2).mean((3, 5))
    halves = blocks.reshape(2, 1, 4, 2, 4, 2).mean((3, 5)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(task.input({"image": x}), 0.25 * blocks + 0.75 * halves, rtol=0, atol=1e-12)
    task.side, task.fade = 16, 1.0
    assert torch.equal(task.input({"image": x}), x)


def test_phases_of_the_paper() -> None:
    task = StyleAdversarial(one_tensor("image"), (3, 1024, 1024), options=StyleOptions(start=8))
    sizes = [task.phase(k * 1000) for k in (0, 599, 600, 900, 1200, 1799, 1800, 8400, 25000)]
    assert [phase.resolution for phase in sizes] == [8, 8, 16, 16, 16, 16, 32, 1024, 1024]
    assert [phase.fade for phase in sizes] == [1, 1, 0, 0.5, 1, 1, 0, 1, 1]
    assert task.length_notes(25_000_000, 32, 1) == []
    (note,) = task.length_notes(2_000_000, 32, 1)
    assert note.startswith("training ends before 64 x 64, 128 x 128, 256 x 256, 512 x 512, 1024 x 1024")


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("stylegan", {"net": {"image_size": 24}}, "image_size must be a power of two"),
        ("stylegan", {"objective": {**GROWING, "start": 6}}, "start must be 0 or a power of two"),
        ("stylegan", {"objective": {**GROWING, "start": 32}}, "start=32 is more than the size of the pictures, 16"),
        ("stylegan2", {}, "start=4: the net does not grow"),
        ("stylegan", {"net": {"group": 8}}, "batch size 4 at 8 pixels is less than the 8 samples"),
        ("progan", {"objective": {**GROWING, "path_length": 1.0}}, "path_length is for generators with styles"),
        ("stylegan", {"objective": {**GROWING, "augment": 2.0}}, "augment must lie in"),
        ("stylegan", {"objective": {**GROWING, "r1_interval": 0}}, "r1_interval must be at least 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    pictures: Path, tmp_path: Path, model: str, options: dict[str, Any], reason: str
) -> None:
    net = {**(NET if model == "progan" else STYLED), **options.pop("net", {})}
    with pytest.raises(lamina.LaminaError, match=reason):
        begin(tmp_path / "runs", pictures, model, net, **options)
    assert not (tmp_path / "runs").exists()


def test_sizes_that_are_not_reached_are_noted(pictures: Path, tmp_path: Path) -> None:
    notes = begin(tmp_path, pictures, images=20, name="short").notes
    assert any(
        "training ends before 16 x 16: it sees 20 pictures, and all sizes are there after 32" in n for n in notes
    )
    assert not any("training ends before" in note for note in begin(tmp_path, pictures, images=40).notes)


def test_phases_are_planned_with_their_batches(pictures: Path, tmp_path: Path) -> None:
    """Those that training comes to; a batch that the data cannot fill is refused before anything is trained."""
    training = begin(tmp_path, pictures, images=20)
    found = [(phase.name, phase.images, phase.batch_size) for phase in training.phases]
    assert found == [("4 x 4", 8, 8), ("8 x 8", None, 4)]
    assert plan(training)["phases"] == "4 x 4 for 8 images in batches of 8; 8 x 8 to the end in batches of 4"
    assert [phase.batch_size for phase in begin(tmp_path, pictures, images=40).phases] == [8, 4, 4]
    assert "phases" not in plan(begin(tmp_path, pictures, "stylegan2", objective={}, steps=1))
    much = {**GROWING, "batch_sizes": (4, 64)}
    with pytest.raises(UsageError, match=r"batch size 64 at 8 x 8 is larger than the training data \(32 samples\)"):
        begin(tmp_path / "much", pictures, images=20, objective=much)
    assert not (tmp_path / "much").exists()
    assert len(begin(tmp_path, pictures, images=8, objective=much).phases) == 1  # the second is not reached


def test_weights_of_a_net_that_has_not_grown_up_need_a_start(
    stopped: lamina.Run, pictures: Path, tmp_path: Path
) -> None:
    flat = {**GROWING, "start": 0}
    with pytest.raises(UsageError, match=r"grown to 8 pixels, and without --objective.start it would stay there"):
        begin(tmp_path / "flat", pictures, weights=str(stopped.path), objective=flat, steps=1)
    assert not (tmp_path / "flat").exists()
    training = begin(tmp_path, pictures, weights=str(stopped.path), steps=1)
    run_through(training)
    assert training.engine.raw["generator"].side == 4


def test_weights_of_another_size_are_refused(stopped: lamina.Run, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not fit this StyleGAN"):
        begin(tmp_path, pictures, net={**STYLED, "image_size": 32}, weights=str(stopped.path))


def test_changes_are_made_with_their_probability() -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 3, 16, 16) * 2 - 1
    assert augmented(x, 0.0) is x
    changed = (augmented(x, 0.1) - x).abs().flatten(1).amax(1) > 1e-3
    # seven or eight changes, some of which may do nothing (a mirror half of the time, a turn by 0 a quarter)
    assert 0.35 < changed.double().mean().item() < 0.62
    torch.testing.assert_close(augmented(x, 1e-12), x, rtol=0, atol=1e-5)
    y = x[:4].clone().requires_grad_()
    augmented(y, 0.9).square().sum().backward()
    assert y.grad.isfinite().all()
    assert y.grad.abs().sum() > 0


def test_p_follows_the_signs() -> None:
    p = AdaptiveProbability(target=0.6, images=1000)
    for _ in range(3):
        p.follow(0.9, 100)
    assert p.value == pytest.approx(0.3)
    p.follow(0.2, 100)
    assert p.value == pytest.approx(0.2)
    for _ in range(50):
        p.follow(0.0, 100)
    assert p.value == 0
    fixed = AdaptiveProbability(target=0.0, images=1000, start=0.4)
    fixed.follow(1.0, 500)
    assert fixed.value == 0.4
