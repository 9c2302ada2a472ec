"""Recipes that fit data and machine: options that are "auto" become plain numbers, which train the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import lamina
from lamina.errors import UsageError
from lamina.runs.config import TrainConfig, make_config
from lamina.runs.fitting import Facts, fit_recipe
from lamina.training import trial


def config(name: str, **options: Any) -> TrainConfig:
    return make_config(name, {"data": "iris", **options}, fitted=True)


def fitted(name: str, facts: Facts, **options: Any) -> tuple[TrainConfig, dict[str, str]]:
    return fit_recipe(config(name, **options), facts)


@pytest.mark.parametrize("samples", [12, 60, 105, 300, 639])
def test_few_samples_get_at_least_twenty_batches_or_the_smallest(samples: int) -> None:
    made, why = fitted("mlp", Facts(kind="table", samples=samples))
    assert samples // made.recipe.batch_size >= 20 or made.recipe.batch_size == 8
    assert str(made.recipe.batch_size) in why["batch_size"]
    assert made.recipe.epochs * (samples // made.recipe.batch_size) >= 1000  # type: ignore[operator]


def test_data_that_the_recipe_is_made_for_keep_it() -> None:
    made, why = fitted("mlp", Facts(kind="table", samples=10_000))
    recipe = make_config("mlp", {"data": "iris"}).recipe
    assert made.recipe.batch_size == recipe.batch_size
    assert made.recipe.epochs == recipe.epochs
    assert made.recipe.lr == recipe.lr
    assert why.keys() <= {"patience"}


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 32), ("epochs", 3), ("lr", 0.5), ("patience", 2), ("steps", 7)]
)
def test_what_is_given_stands(option: str, value: Any) -> None:
    made, why = fitted("resnet18", Facts(kind="image", samples=140, augments=True), **{option: value})
    assert getattr(made.recipe, option) == value
    assert option not in why


def test_the_rate_of_sgd_follows_the_batch_and_that_of_adam_does_not() -> None:
    facts = Facts(kind="image", samples=140, height=224, width=224, channels=3, augments=True)
    sgd, adam = (make_config(name, {"data": "iris"}).recipe for name in ("resnet18", "mobilenet-v2"))
    one, other = fitted("resnet18", facts)[0].recipe, fitted("mobilenet-v2", facts)[0].recipe
    assert one.lr == pytest.approx(sgd.lr * one.batch_size / sgd.batch_size, rel=0.1)
    assert other.lr == adam.lr


def test_a_named_recipe_is_left_as_it_is() -> None:
    assert make_config("mlp", {"data": "iris"}, config="mlp").auto == frozenset()
    training = lamina.prepare("mlp", {"data": "iris"}, config="mlp", dry=True)
    assert training.config.recipe == make_config("mlp", {"data": "iris"}).recipe
    assert training.fitted == {}


def test_a_recipe_may_ask_for_auto_itself(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("name: mlp\ndata: iris\nepochs: 2\nbatch_size: auto\nlr: 0.004\nmodel: {image_size: auto}\n")
    recipe = lamina.prepare(None, {}, config=str(file), dry=True).config.recipe
    assert (recipe.batch_size, recipe.lr, recipe.epochs) == (8, 0.004, 2)
    with pytest.raises(UsageError, match="clip"):
        make_config("mlp", {"data": "iris", "clip": "auto"})


@pytest.mark.parametrize(
    ("shape", "name", "size"),
    [
        ((40, 32, 32, 3), "resnet18", 32),
        ((40, 60, 50, 3), "mobilenet-v2", 64),
        ((40, 90, 100, 3), "convnext-tiny", 128),
        ((40, 300, 260, 3), "resnet18", None),
        ((40, 20, 20, 1), "lenet5", None),
        ((40, 200, 200, 3), "mlp", 32),
        ((40, 20, 20, 3), "mlp", None),
    ],
)
def test_images_are_not_enlarged_and_a_flat_network_gets_small_ones(
    shape: tuple[int, ...], name: str, size: int | None
) -> None:
    N, H, W, C = shape
    facts = Facts(kind="image", samples=N, height=H, width=W, channels=C, augments=True)
    assert fitted(name, facts)[0].model.get("image_size") == size
    assert fitted(name, facts, model={"image_size": 48})[0].model["image_size"] == 48


def test_small_grey_images_are_not_mirrored_and_few_photographs_are_cropped() -> None:
    symbols = Facts(kind="image", samples=5000, height=28, width=28, channels=1, augments=True)
    photographs = Facts(kind="image", samples=300, height=300, width=200, channels=3, augments=True)
    assert not fitted("resnet18", symbols)[0].recipe.augmentation.flip
    assert fitted("resnet18", photographs)[0].recipe.augmentation.resized_crop == (0.35, 1.0)
    kept = fitted("resnet18", photographs, flip=True)[0].recipe.augmentation
    assert kept.resized_crop is None


def test_the_saved_configuration_trains_to_the_same_bits(tmp_path: Path) -> None:
    first = lamina.train("mlp", data="iris", steps=30, directory=tmp_path, report=False)
    saved = yaml.safe_load((first.path / "config.yaml").read_text())
    assert saved["batch_size"] == 8
    assert "auto" not in {saved[key] for key in ("epochs", "batch_size", "lr", "patience", "precision")}
    again = lamina.train(config=str(first.path / "config.yaml"), directory=tmp_path, report=False)
    left, right = (run.directory.weights.read_bytes() for run in (first, again))
    assert left == right
    assert "batch_size" in first.card["fitted"]


def test_a_small_module_of_the_users_own_learns_iris_in_twenty_epochs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    run = lamina.train(module, data="iris", epochs=20, directory=tmp_path, report=False)
    assert run.evaluate("test")["accuracy"] >= 0.93


# ---------------------------------------------------------------- the machine


def images(count: int = 40) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 255, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 4


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """Seconds of a step by what is tried; every model is worth a trial, and every machine has bf16."""
    seconds = {"fp32": 1.0, "fp32 last": 0.95, "bf16": 0.8, "bf16 last": 0.5}
    calls: list[str] = []

    def timed(task: Any, model: Any, batches: Any, recipe: Any) -> float:
        calls.append(f"{recipe.precision}{' last' if recipe.channels_last else ''}")
        return seconds[calls[-1]]

    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "seconds_a_step", timed)
    monkeypatch.setattr(trial, "has_bf16", lambda device: True)
    monkeypatch.setattr(trial, "LEAST_OPERATIONS", 0)
    seconds["calls"] = calls  # type: ignore[assignment]
    return seconds


@pytest.mark.parametrize(
    ("changed", "precision", "last"),
    [
        ({}, "bf16", True),
        ({"bf16 last": 1.0}, "bf16", False),
        ({"bf16 last": 1.0, "bf16": 0.95}, "fp32", False),
        ({"bf16 last": 0.7, "fp32 last": 0.4}, "fp32", True),
    ],
)
def test_the_fastest_precision_and_format_are_taken_and_remembered(
    tried: dict[str, Any], tmp_path: Path, changed: dict[str, float], precision: str, last: bool
) -> None:
    tried.update(changed)
    options = {"data": images(), "steps": 2, "batch_size": 8}
    first = lamina.prepare("lenet5", options, directory=tmp_path)
    assert (first.config.recipe.precision, first.config.recipe.channels_last) == (precision, last)
    saved = yaml.safe_load((first.directory.path / "config.yaml").read_text())
    assert (saved["precision"], saved["channels_last"]) == (precision, last)
    tries = len(tried["calls"])
    second = lamina.prepare("lenet5", options, directory=tmp_path)
    assert second.config.recipe.precision == precision
    assert len(tried["calls"]) == tries


def test_a_precision_that_is_given_is_not_tried(tried: dict[str, Any], tmp_path: Path) -> None:
    options = {"data": images(), "steps": 2, "batch_size": 8, "precision": "fp32", "channels_last": False}
    assert lamina.prepare("lenet5", options, directory=tmp_path).config.recipe.precision == "fp32"
    assert tried["calls"] == []


def test_a_trial_changes_neither_the_model_nor_the_random_numbers(tmp_path: Path) -> None:
    training = lamina.prepare("lenet5", {"data": images(), "steps": 2, "batch_size": 8}, directory=tmp_path, dry=True)
    before = {name: value.clone() for name, value in training.parts.model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    batches = [next(iter(training.stream.batches(0)))]
    assert trial.seconds_a_step(training.parts.task, training.parts.model, batches, training.config.recipe) > 0
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[name]) for name, value in training.parts.model.state_dict().items())


def test_channels_last_trains_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": images(), "batch_size": 8, "channels_last": True, "report": False}
    whole = lamina.train("lenet5", steps=8, directory=tmp_path / "a", **options)
    training = lamina.prepare(
        "lenet5",
        {key: value for key, value in options.items() if key != "report"} | {"steps": 8, "checkpoint_every": 3},
        directory=tmp_path / "b",
        name="part",
    )
    events = training.events()
    for event in events:
        if getattr(event, "step", 0) >= 3:
            events.close()
            break
    part = lamina.train(
        "lenet5", data=options["data"], name="part", directory=tmp_path / "b", resume=True, report=False
    )
    left, right = (run.directory.weights.read_bytes() for run in (whole, part))
    assert left == right


def test_minutes_cut_the_length_by_the_time_of_a_step(tried: dict[str, Any], tmp_path: Path) -> None:
    options = {"data": images(), "batch_size": 8, "precision": "fp32", "channels_last": False}
    recipe = lamina.prepare("lenet5", {**options, "minutes": 1, "epochs": 50}, directory=tmp_path).config.recipe
    assert recipe.epochs == 60 / 1.25 // 4  # four batches an epoch, a second each
    recipe = lamina.prepare("lenet5", {**options, "minutes": 0.05, "epochs": 50}, directory=tmp_path).config.recipe
    assert (recipe.epochs, recipe.steps) == (None, 2)
    recipe = lamina.prepare("lenet5", {**options, "minutes": 100, "epochs": 5}, directory=tmp_path).config.recipe
    assert (recipe.epochs, recipe.minutes) == (5, None)
    with pytest.raises(UsageError, match="minutes"):
        lamina.prepare("lenet5", {**options, "minutes": 0}, directory=tmp_path)
