"""Training from weights of the hub: by name and revision, with a new head, their normalisation, and a recipe that suits
them; the commit is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save

import lamina as library
from fake_hub import FakeHub
from lamina.data.spec import DataSpec
from lamina.options.recipe import Augmentation, Recipe
from lamina.runs.finetuning import fine_tuned

Lamina = Callable[..., tuple[int, str, str]]
NAME = "me/letters"
README = b"---\nlicense: mit\n---\n"


@pytest.fixture
def letters(hub: FakeHub) -> tuple[FakeHub, str]:
    """Weights of LeNet-5 for 26 classes, and their commit."""
    torch.manual_seed(5)
    state = library.create_model("lenet5", image_size=16, num_classes=26).state_dict()
    return hub, hub.put(NAME, {"README.md": README, "model.safetensors": save(dict(state))})


SHORT = ("train", "lenet5", "--data", "digits", "--steps", "2", "--batch-size", "32", "--model.image-size", "16")


def test_training_starts_from_a_place_on_the_hub_and_keeps_the_commit(
    lamina: Lamina, letters: tuple[FakeHub, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, commit = letters
    status, _, err = lamina(*SHORT, "--weights", f"hf:{NAME}@main")
    assert status == 0, err
    assert err.count(f"note: weights: hf:{NAME}@{commit[:12]} (licence mit)") == 1
    assert "; the head is new" in err
    assert "note: fine-tuning: all layers are trained" in err
    config = yaml.safe_load(Path("runs/lenet5-digits/config.yaml").read_text())
    assert (config["weights"], config["reset_head"]) == (f"hf:{NAME}@{commit}", True)
    assert (config["optimizer"], config["layer_decay"], config["steps"], config["batch_size"]) == ("adamw", 0.7, 2, 32)
    card = json.loads(Path("runs/lenet5-digits/card.json").read_text())
    assert card["weights"]["licence"] == "mit"
    first = library.open_run("runs/lenet5-digits").model.state_dict()
    hub.put(NAME, {"model.safetensors": b"moved"})
    again = lamina("train", "--config", "runs/lenet5-digits/config.yaml", "--name", "again")
    assert again[0] == 0, again[2]
    second = library.open_run("runs/again").model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first), "the same bits from config.yaml"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # a run that has a checkpoint needs no weights
    monkeypatch.setenv("HF_HUB_CACHE", "empty")
    more = lamina("train", "--name", "again", "--resume", "--steps", "3")
    assert more[0] == 0, more[2]
    resumed = lamina("train", "--name", "again", "--resume", "--steps", "3", "--weights", f"hf:{NAME}")
    assert resumed[0] == 0, resumed[2]
    other = lamina("train", "--name", "again", "--resume", "--weights", "hf:me/others@main")
    assert (other[0], "me/others@main is not in the cache" in other[2]) == (1, True)


def test_another_class_count_without_reset_is_refused_in_one_line(lamina: Lamina, letters: tuple[FakeHub, str]) -> None:
    status, out, err = lamina(*SHORT, "--weights", f"hf:{NAME}@main", "--no-reset-head")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "has 26 classes, the model 10: reset_head=True (--reset-head)" in err
    assert not Path("runs").exists()


def test_what_the_user_gives_stays(lamina: Lamina, letters: tuple[FakeHub, str]) -> None:
    given = ("--lr", "0.02", "--optimizer", "sgd", "--freeze", "c5.1", "--normalisation", "half", "--momentum", "0.5")
    status, _, err = lamina(*SHORT, "--weights", f"hf:{NAME}@main", *given)
    assert status == 0, err
    config = yaml.safe_load(Path("runs/lenet5-digits/config.yaml").read_text())
    assert (config["lr"], config["optimizer"], config["freeze"]) == (0.02, "sgd", ["c5.1"])
    assert "all layers but the frozen ones are trained: sgd at 0.02" in err


@pytest.mark.parametrize(
    ("weights", "status", "says"),
    [
        ("hf:me/nobody@main", 2, "the hub answers 401 for 'me/nobody'"),
        ("hf:me/letters@nowhere", 2, "has no revision 'nowhere'"),
        ("imagenet", 2, "no weights called 'imagenet' are listed for lenet5"),
        ("hf:me/letters@main@main", 2, "is not a place on the hub"),
        ("imagnet", 2, "no such file: imagnet; did you mean 'imagenet'?"),
    ],
)
def test_bad_weights_are_one_line_and_write_nothing(
    lamina: Lamina, letters: tuple[FakeHub, str], weights: str, status: int, says: str
) -> None:
    found = lamina(*SHORT, "--weights", weights)
    assert (found[0], found[1], found[2].count("\n")) == (status, "", 1), found
    assert says in found[2]
    assert not Path("runs").exists()


def test_without_a_network_nothing_is_written(
    lamina: Lamina, letters: tuple[FakeHub, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, out, err = lamina(*SHORT, "--weights", f"hf:{NAME}@main")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "offline mode is set" in err
    assert "--weights FILE" in err
    assert not Path("runs").exists()


def photos(folder: Path, count: int) -> None:
    numbers = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            pixels = numbers.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{i}.png")


def test_by_name_the_normalisation_and_the_head_follow_the_weights(
    lamina: Lamina, hub: FakeHub, tmp_path: Path
) -> None:
    from weights_of_timm import repository

    commit = hub.put("timm/mobilenetv3_small_100.lamb_in1k", repository("mobilenet-v3-small", eps=1e-5))
    photos(tmp_path / "photos", 6)
    base = ("train", "mobilenet-v3-small", "--data", "photos", "--epochs", "1", "--model.image-size", "32")
    status, _, err = lamina(*base, "--weights", "imagenet", "--batch-size", "4")
    assert status == 0, err
    assert "only the output layer is trained" in err
    assert "from nothing" not in err
    run = library.open_run("runs/mobilenet-v3-small-photos")
    assert run.config.weights == f"hf:timm/mobilenetv3_small_100.lamb_in1k@{commit}"
    assert (run.config.recipe.freeze, run.config.recipe.lr) == (("body",), 1e-2)
    assert run.preprocess.mean == (0.4, 0.5, 0.6)
    assert run.model.config.eps == 1e-5
    theirs = library.create_model("mobilenet-v3-small", weights="imagenet").state_dict()
    own = run.model.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own if not name.startswith("head"))
    grey = ("train", "mobilenet-v3-small", "--data", "digits", "--steps", "1", "--model.image-size", "32")
    status, _, err = lamina(*grey, "--weights", "imagenet", "--dry-run")
    assert status == 0, err
    status, _, err = lamina(*base, "--dry-run", "--batch-size", "4")
    said = [line for line in err.splitlines() if "from nothing" in line]
    assert len(said) == 1
    assert "--weights imagenet starts from published weights" in said[0]
    status, _, err = lamina("train", "lenet5", "--data", "photos", "--dry-run", "--batch-size", "4")
    assert "from nothing" not in err, "a small net"


def test_info_lists_what_is_published(lamina: Lamina) -> None:
    status, out, _ = lamina("info", "vgg11")
    assert status == 0
    assert "imagenet: hf:timm/vgg11.tv_in1k, of ImageNet-1k, bsd-3-clause (--weights imagenet)" in out
    listed = json.loads(lamina("info", "vgg11", "--json")[1])["card"]["published"]
    assert [one["repository"] for one in listed] == ["timm/vgg11.tv_in1k"]


def spec(samples: int, classes: int) -> DataSpec:
    names = tuple(map(str, range(classes)))
    return DataSpec(name="x", kind="image", task="classification", classes=names, sizes={"train": samples})


def test_the_recipe_of_fine_tuning_is_a_function_of_the_data() -> None:
    paper = Recipe(
        images=10**6, optimizer="sgd", lr=0.5, ema=0.9999, label_smoothing=0.1, schedule="step", batch_size=1024,
        augmentation=Augmentation(mixup=0.8, flip=True, rand_augment=9.0),
    )  # fmt: skip
    few, says = fine_tuned(paper, (), spec(140, 10))
    assert (few.freeze, few.epochs, few.images, few.batch_size, few.ema) == (("body",), 75, None, 16, 0.0)
    assert (few.augmentation.mixup, few.augmentation.rand_augment, few.augmentation.flip) == (0.0, None, True)
    assert "14 samples a class" in says
    many, says = fine_tuned(paper, (), spec(9000, 10))
    assert (many.freeze, many.layer_decay, many.epochs, many.batch_size) == ((), 0.7, 5, 32)
    assert fine_tuned(paper, (), spec(9000, 10)) == (many, says)
    kept, _ = fine_tuned(paper, ("images", "lr", "mixup", "batch_size", "ema"), spec(9000, 10))
    assert (kept.images, kept.lr, kept.augmentation.mixup, kept.batch_size, kept.ema) == (10**6, 0.5, 0.8, 1024, 0.9999)
    values, _ = fine_tuned(Recipe(), (), DataSpec(name="x", kind="table", task="regression", sizes={"train": 50}))
    assert values.freeze == ()


def test_weights_whose_features_transfer_beat_weights_from_nothing(lamina: Lamina, hub: FakeHub) -> None:
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = (found.images / 16 * 255).astype("uint8"), found.target
    teacher = library.train(
        "lenet5",
        data=(images[600:], labels[600:]),
        epochs=6,
        model_options={"image_size": 16},
        report=False,
        directory="teacher",
    )
    weights = save(dict(teacher.model.state_dict()))
    hub.put(NAME, {"README.md": README, "model.safetensors": weights})
    other = 9 - labels  # other classes, by the same shapes
    chosen = np.concatenate([np.flatnonzero(other[:600] == k)[:2] for k in range(10)])
    held_out = np.setdiff1d(np.arange(600), chosen)
    data = {"train": (images[chosen], other[chosen]), "test": (images[held_out], other[held_out])}
    common = {"data": data, "report": False, "model_options": {"image_size": 16}, "validation": 0.0}
    tuned = library.train("lenet5", weights=f"hf:{NAME}@main", **common)
    recipe = tuned.config.recipe
    nothing = library.train("lenet5", epochs=recipe.epochs, batch_size=recipe.batch_size, lr=1e-3, **common)
    ours, theirs = (run.evaluate(data=data)["accuracy"] for run in (tuned, nothing))
    assert ours > theirs + 0.05, (ours, theirs)
    assert ours > 0.6


def test_info_prints_the_file_of_an_architecture(lamina: Lamina) -> None:
    status, out, _ = lamina("info", "LeNet5", "--source")
    assert status == 0
    assert "class LeNet5" in out
    assert out.splitlines()[0].endswith("lenet5.py")
    found = json.loads(lamina("info", "lenet5", "--source", "--json")[1])
    assert Path(found["file"]).read_text() == found["source"]
