"""Training on a folder of images with everything switched on: it resumes bit for bit, from memory as from the disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import lamina
from lamina.cli.main import main
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.recipe import make_augment
from lamina.data.protocols import BatchOptions
from lamina.errors import UsageError
from lamina.options.recipe import Augmentation, Recipe
from lamina.runs.run import Run
from lamina.runs.training import prepare
from lamina.training.events import StepDone

SIDE, LARGER = 12, 16
EVERYTHING = {
    "flip": True, "shift": 1, "crop": LARGER, "resized_crop": (0.3, 1.0), "rand_augment": 9.0, "rand_augment_std": 0.5,
    "colour_pca": 0.1, "erasing": 0.5, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "class_weights": True,
    "freeze": ("stem",), "layer_decay": 0.7, "checkpointing": True, "ema": 0.9,
}  # fmt: skip
OTHERS = {"crop": LARGER, "flip": True, "trivial_augment": True, "cutmix": 0.5}


class Small(nn.Module):
    """An image classifier in miniature."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
            for _ in range(2)
        )
        self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (SIDE, SIDE)
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        out: Tensor = self.head(self.neck(x))
        return out


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reddish and bluish noise with a ``val`` split, as ImageFolder has it; not as many of each."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, counts in {"train": (24, 12), "val": (8, 8)}.items():
        for label, count, tint in zip(("blue", "red"), counts, ((0, 20, 60), (60, 20, 0)), strict=True):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 180, (SIDE, SIDE, 3)) + np.array(tint)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


def asked(photos: Path, folder: Path, **recipe: Any) -> dict[str, Any]:
    common = {"data": str(photos), "test": 0.0, "epochs": 3, "batch_size": 8, "lr": 0.01, "report": False}
    return {**common, "directory": folder, "name": "run", **recipe}


@pytest.mark.parametrize("recipe", [EVERYTHING, OTHERS], ids=["everything", "others"])
def test_held_streamed_and_interrupted_are_the_same_bits(photos: Path, tmp_path: Path, recipe: dict[str, Any]) -> None:
    found = {}
    for memory in ("hold", "stream"):
        run = lamina.train(Small(), **asked(photos, tmp_path / memory, memory=memory, **recipe))
        found[memory] = load_file(run.directory.weights), run.history
    for stop in (2, 7):  # in the middle of the first epoch of four batches, and of the second
        options = asked(photos, tmp_path / f"stop-{stop}", memory="stream", **recipe)
        where = {"name": options.pop("name"), "directory": options.pop("directory")}
        del options["report"]
        training = prepare(Small(), options, **where)
        with closing(training.events()) as events:
            for event in events:
                if isinstance(event, StepDone) and event.step == stop:
                    break
        assert training.directory.checkpoints.latest() is not None
        again = {**asked(photos, where["directory"], memory="stream", **recipe), "resume": True}
        run = lamina.train(Small(), **again)
        found[f"stop-{stop}"] = load_file(run.directory.weights), run.history
    weights, history = found["hold"]
    for name, (other, rows) in found.items():
        for tensor, value in weights.items():
            assert torch.equal(value, other[tensor]), f"{name}: {tensor}"
        assert rows == history, name
    assert len(history) == 3
    assert 0 < history[-1]["train_accuracy"] <= 1


def test_workers_decode_the_same(photos: Path, tmp_path: Path) -> None:
    runs = [
        lamina.train(Small(), **asked(photos, tmp_path / str(n), memory="stream", workers=n, epochs=1, **EVERYTHING))
        for n in (0, 2)
    ]
    one, two = (load_file(run.directory.weights) for run in runs)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_every_change_changes_training_and_none_of_them_evaluation(photos: Path, tmp_path: Path) -> None:
    """Each option on its own gives other losses; what evaluation sees is the same image."""
    singles: list[dict[str, Any]] = [
        {}, {"flip": True}, {"shift": 1}, {"resized_crop": (0.3, 1.0)}, {"rand_augment": 9.0},
        {"rand_augment": 9.0, "rand_augment_layers": 1}, {"rand_augment": 9.0, "rand_augment_std": 3.0},
        {"trivial_augment": True}, {"colour_pca": 0.1}, {"erasing": 0.9}, {"mixup": 0.4}, {"cutmix": 0.4},
        {"mixup": 0.4, "cutmix": 0.4}, {"crop": LARGER},
    ]  # fmt: skip
    batches, judged = [], []
    for i, recipe in enumerate(singles):
        options = {k: v for k, v in asked(photos, tmp_path, seed=5, **recipe).items() if k not in ("directory", "name")}
        del options["report"]
        training = prepare(Small(), options, directory=tmp_path, name=f"r{i}", dry=True)
        batches.append(next(training.stream.batches(0))["image"])
        assert training.validation is not None
        judged.append(next(iter(training.validation))["image"])
    for i, batch in enumerate(batches):
        assert batch.shape == (8, 3, SIDE, SIDE)
        assert batch.dtype == torch.float32
        assert batch.isfinite().all()
        for j in range(i):
            assert not torch.equal(batch, batches[j]), (singles[i], singles[j])
    for image in judged[:-1]:
        assert torch.equal(image, judged[0])


def test_frozen_and_head_alone(photos: Path, tmp_path: Path) -> None:
    run = lamina.train(Small(), **asked(photos, tmp_path, freeze=("body",)))
    begun, ended = Small().state_dict(), load_file(run.directory.weights)
    assert run.directory.read("card.json")["parameters"] == sum(p.numel() for p in Small().parameters())
    assert {name for name, value in ended.items() if not torch.equal(value, begun[name])} == {
        "head.weight",
        "head.bias",
    }


@pytest.fixture(scope="module")
def windowed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lamina.train(Small(), **asked(photos, tmp_path_factory.mktemp("windows"), crop=LARGER, flip=True))


def test_evaluation_cuts_the_centre(windowed: Run) -> None:
    preprocess, split = windowed.preprocess, windowed.source.splits["validation"]
    assert preprocess.held == (LARGER, LARGER)  # type: ignore[union-attr]
    held = preprocess.encode(split, hold=True)
    seen = next(iter(windowed.batches("validation")))["image"]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))  # type: ignore[union-attr]
    expected = (held.tensors["image"][:, :, 2:14, 2:14] / 255 - mean) / std  # type: ignore[union-attr]
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)
    assert len(windowed.predict(split.paths[0])[0]["probabilities"]) == 2  # type: ignore[union-attr]


def test_ten_crops_are_the_mean_over_ten_windows(windowed: Run) -> None:
    preprocess, split = windowed.preprocess, windowed.source.splits["validation"]
    raw = preprocess.encode(split, hold=True).tensors  # type: ignore[union-attr]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))  # type: ignore[union-attr]
    image = (raw["image"] / 255 - mean) / std
    said = []
    with torch.no_grad():
        for top, left in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
            window = image[:, :, top : top + SIDE, left : left + SIDE]
            said += [windowed.model(window).softmax(1), windowed.model(window.flip(3)).softmax(1)]
    probability = torch.stack(said).mean(0)
    found = windowed.evaluate("validation", crops=10)
    right = (probability.argmax(1) == raw["target"]).float().mean()
    assert found["accuracy"] == pytest.approx(float(right))
    cost = -probability.gather(1, raw["target"][:, None]).log().mean()
    assert found["loss"] == pytest.approx(float(cost), rel=1e-4)
    assert found["loss"] != windowed.evaluate("validation")["loss"]


def test_ten_crops_of_a_run_without_windows_and_what_has_none(digits_run: Run, diabetes_run: Run) -> None:
    ten = digits_run.evaluate(crops=10)
    assert ten["accuracy"] > 0.5  # digits of 37 pixels a side, seen through windows of 32
    assert ten != digits_run.evaluate()
    with pytest.raises(UsageError, match="trained on a table"):
        diabetes_run.evaluate(crops=10)
    with pytest.raises(UsageError, match="crops must be 1 or 10, got 5"):
        digits_run.evaluate(crops=5)


def test_evaluate_crops_on_the_command_line(digits_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(digits_run.path), "--crops", "10", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["metrics"] == pytest.approx(digits_run.evaluate(crops=10), rel=1e-5)


def moments(photos: Path, **options: Any) -> tuple[Any, Any]:
    training = prepare(Small(), {"data": str(photos), "test": 0.0, "batch_size": 8, **options}, dry=True)
    preprocess = training.parts.preprocess
    return preprocess.mean, preprocess.std  # type: ignore[union-attr]


def test_normalisation_is_the_datas_or_imagenets_or_that_of_the_weights(
    photos: Path, tmp_path: Path, windowed: Run
) -> None:
    fitted = moments(photos)
    assert fitted == moments(photos, normalisation="data")
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert fitted != imagenet
    assert moments(photos, normalisation="imagenet") == imagenet
    assert moments(photos, normalisation="half") == ((0.5,) * 3, (0.5,) * 3)
    # weights of a run come with its normalisation; a file from elsewhere with ImageNet's
    own = windowed.preprocess.mean, windowed.preprocess.std  # type: ignore[union-attr]
    assert own != fitted
    assert moments(photos, weights=str(windowed.path)) == own
    assert moments(photos, weights=str(windowed.directory.weights)) == own
    alone = tmp_path / "published.safetensors"
    alone.write_bytes(windowed.directory.weights.read_bytes())
    assert moments(photos, weights=str(alone)) == imagenet
    assert moments(photos, weights=str(alone), normalisation="data") == fitted


def test_a_resumed_run_keeps_the_normalisation_it_began_with(photos: Path, tmp_path: Path, windowed: Run) -> None:
    """Also when the run that its first weights came from is gone."""
    first = tmp_path / "first"
    shutil.copytree(windowed.path, first)
    options = asked(photos, tmp_path, epochs=1)
    run = lamina.train(Small(), weights=first, **options)
    own = windowed.preprocess.mean, windowed.preprocess.std  # type: ignore[union-attr]
    assert (run.preprocess.mean, run.preprocess.std) == own  # type: ignore[union-attr]
    shutil.rmtree(first)
    again = {"data": str(photos), "epochs": 2}
    training = prepare(Small(), again, name="run", directory=tmp_path, resume=True, dry=True)
    preprocess = training.parts.preprocess
    assert (preprocess.mean, preprocess.std) == own  # type: ignore[union-attr]


def test_nothing_asked_is_nothing_and_a_flip_is_what_it_was(photos: Path) -> None:
    """The bits of earlier runs hang on it."""
    training = prepare(Small(), {"data": str(photos), "batch_size": 8}, dry=True)
    assert training.stream.augment is None
    preprocess = training.parts.preprocess
    recipe = Recipe(augmentation=Augmentation(flip=True, shift=2))
    asked = BatchOptions(recipe=recipe, task="classification", mixes=True)
    assert make_augment(preprocess, asked) == Geometric(flip=True, shift=2)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"crop": 8}, "crop=8: windows of 12 x 12 pixels cannot be cut"),
        ({"mixup": 0.2, "batch_size": 7}, "batch size 7"),
        ({"erasing": 1.5}, "erasing is a probability"),
        ({"layer_decay": 0.0}, "layer_decay must lie in"),
        ({"rand_augment": 9.0, "trivial_augment": True}, "give one of them"),
        ({"rand_augment": 12.0}, "magnitude from 0 to 10"),
        ({"resized_crop": (0.5, 0.1)}, "resized_crop"),
        ({"mixup": -1.0}, "mixup must not be negative"),
        ({"freeze": ("stage.0",)}, "did you mean 'stages.0'"),
        ({"normalisation": "imagnet"}, "did you mean 'imagenet'"),
    ],
)
def test_wrong_options_are_told_in_one_line(photos: Path, recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        prepare(Small(), {"data": str(photos), "test": 0.0, **recipe}, dry=True)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("option", [{"mixup": 0.2}, {"erasing": 0.1}, {"crop": 9}, {"normalisation": "half"}])
def test_tables_have_no_images_to_change(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(option))}.*table"):
        prepare("mlp", {"data": "iris", **option}, dry=True)
    if "mixup" in option:
        with pytest.raises(UsageError, match="the task is"):
            prepare("lenet5-1998", {"data": "digits", **option}, dry=True)


def test_kornia_is_imported_by_the_training_that_needs_it_alone() -> None:
    code = (
        "import sys, lamina; from lamina.runs.training import prepare;"
        "t = prepare('lenet5', {'data': 'digits', 'mixup': 0.2, 'erasing': 0.1}, dry=True); next(t.stream.batches(0));"
        "assert 'kornia' not in sys.modules;"
        "t = prepare('lenet5', {'data': 'digits', 'rand_augment': 9.0}, dry=True); next(t.stream.batches(0));"
        "assert 'kornia' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
