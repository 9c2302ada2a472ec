"""What cannot be used by adversarial networks: one clear line, or a stated rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import LaminaError, TrainingError, UsageError

NET: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


def pictures(folder: Path, *kinds: tuple[str, tuple[int, int]], count: int = 12) -> Path:
    """Pictures of these modes and sizes, in turn."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for i in range(count):
        mode, (width, height) = kinds[i % len(kinds)]
        channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "P": (3,), "1": ()}[mode]
        values = draws.integers(0, 256, (height, width, *channels)).astype("uint8")
        picture = Image.fromarray(values)
        (picture.convert(mode) if mode in ("P", "1") else picture).save(folder / f"{i:03}.png")
    return folder


def test_mixed_sizes_and_modes_follow_a_stated_rule(tmp_path: Path) -> None:
    """Resized to the variant's size; grey and colour mixed are colour, as ``lamina data`` and the run say."""
    data = pictures(tmp_path / "mixed", ("L", (20, 30)), ("RGB", (16, 16)), ("RGBA", (40, 9)), ("P", (8, 8)))
    run = lamina.train(
        "dcgan-16", data=str(data), steps=2, batch_size=4, directory=tmp_path, report=False,
        validation=0.0, test=0.0, model_options=NET,
    )  # fmt: skip
    shape = run.preprocess.signature()[0].shape
    assert shape == (3, 16, 16)
    assert run.generate(count=1)[0].shape == (16, 16, 3)
    grey = lamina.train(
        "dcgan-16", data=str(data), steps=1, batch_size=4, directory=tmp_path, report=False, validation=0.0, test=0.0,
        name="grey", model_options={**NET, "in_channels": 1},
    )  # fmt: skip
    assert grey.generate(count=1)[0].shape == (16, 16, 1)
    with pytest.raises(LaminaError, match=r"differ in size: .*--model.image-size"):
        lamina.train("gan", data=str(data), config="gan", steps=1, batch_size=4, directory=tmp_path)


@pytest.mark.parametrize("model", ["dcgan-16", "gan-toy", "wgan"])
def test_fewer_samples_than_a_batch(tmp_path: Path, model: str) -> None:
    data: Any = pictures(tmp_path / "few", ("L", (16, 16)), count=5)
    if model == "gan-toy":
        data = tmp_path / "few.csv"
        data.write_text("\n".join(["a,b", *(f"{x},{x * x}.5" for x in range(20))]))
    options = {"image_size": 16, **NET} if model == "wgan" else {}
    with pytest.raises(UsageError, match=r"batch size 64 is larger than the training data .*--batch-size"):
        lamina.prepare(model, {"data": str(data), "batch_size": 64, "model": options}, directory=tmp_path / "runs")


@pytest.mark.parametrize(
    ("variant", "size", "reason"),
    [
        ("dcgan", 20, "image_size 20 cannot be halved 4 times"),
        ("dcgan-16", 17, "image_size 17 cannot be halved 2 times"),
        ("dcgan-28", 30, "image_size 30 cannot be halved 2 times"),
        ("wgan-gp", 0, "image_size must be at least 1"),
    ],
)
def test_a_size_that_the_variant_has_not(tmp_path: Path, variant: str, size: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lamina.prepare(variant, {"data": "digits", "model": {"image_size": size}}, directory=tmp_path)


def test_labels_of_one_class_only(tmp_path: Path) -> None:
    pictures(tmp_path / "one", ("L", (16, 16)))
    (tmp_path / "one.csv").write_text("\n".join(["file,label", *(f"one/{i:03}.png,cat" for i in range(12))]))
    given = {"data": str(tmp_path / "one.csv"), "batch_size": 4}
    with pytest.raises(UsageError, match="the data have one class only: train without the model option classes"):
        lamina.prepare("dcgan-16", {**given, "model": {**NET, "classes": 1}}, directory=tmp_path / "runs")
    with pytest.raises(UsageError, match=r"classes=2 does not fit the data, which have 1 class$"):
        lamina.prepare("dcgan-16", {**given, "model": {**NET, "classes": 2}}, directory=tmp_path / "runs")


def test_labels_that_a_run_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = lamina.train("dcgan-16", data="digits", steps=1, directory=tmp_path, report=False, model_options=NET)
    options = {**NET, "classes": 10}
    asked = lamina.train(
        "dcgan-16", data="digits", steps=1, directory=tmp_path, name="asked", report=False, model_options=options
    )
    assert main(["generate", str(plain.path), "--label", "3"]) == 2
    assert "is not conditional (train with --model.classes 10)" in capsys.readouterr().err
    for label in ("11", "-1", "three", ""):
        assert main(["generate", str(asked.path), f"--label={label}"]) == 2
        assert f"unknown label '{label}'" in capsys.readouterr().err
    assert main(["generate", str(asked.path), "--label", "3", "--count", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 2


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_player_that_is_not_a_number_is_named(tmp_path: Path, player: str) -> None:
    training = lamina.prepare(
        "dcgan-16", {"data": "digits", "epochs": 4, "batch_size": 16, "model": NET}, directory=tmp_path
    )
    with torch.no_grad():
        next(getattr(training.parts.model, player).parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=f"'{player}' is not"):
        for _ in training.events():
            pass
