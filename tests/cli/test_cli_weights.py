"""Published weights on the command line: converted, trained on from, and refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from lamina import create_model, open_run, train
from lamina.errors import RunError
from lamina.runs.weights import digest

Lamina = Callable[..., tuple[int, str, str]]
SHORT = ("--data", "digits", "--steps", "2", "--batch-size", "32")


def state(name: str = "lenet5", **options: object) -> dict[str, Tensor]:
    torch.manual_seed(5)
    return dict(create_model(name, **options).state_dict())


def theirs(classes: int) -> dict[str, Tensor]:
    """A slender AlexNet as torchvision names it."""
    from lamina.weights.alexnet import LAYOUTS

    with torch.device("meta"):
        model = create_model("alexnet", num_classes=classes, hidden=16)
    translation = LAYOUTS[0].translation(model)
    torch.manual_seed(6)
    found = {translation.theirs(name): tensor for name, tensor in model.state_dict().items()}
    return {name: torch.randn(tensor.shape, dtype=torch.float16) for name, tensor in found.items() if name}


def one_line(called: tuple[int, str, str], status: int = 2) -> str:
    assert called[0] == status, called
    assert called[1] == ""
    assert called[2].startswith("lamina: "), called
    assert called[2].count("\n") == 1, called
    return called[2]


# convert


def test_convert_writes_our_names(lamina: Lamina, tmp_path: Path) -> None:
    file = theirs(10)
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in file.items()}}, "half.pth")
    options = ("--model.num-classes", "10", "--model.hidden", "16")
    line = ("convert", "alexnet", "half.pth", *options, "--out", "ours.safetensors")
    status, out, err = lamina(*line, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "model": "alexnet", "file": "half.pth", "part": "state_dict", "names": "torchvision", "tensors": 16,
        "unused": [], "notes": ["without the prefix 'module.'"], "dtype": "float16", "out": "ours.safetensors",
    }  # fmt: skip
    converted = load_file("ours.safetensors")
    with torch.device("meta"):
        wanted = create_model("alexnet", num_classes=10, hidden=16).state_dict()
    assert converted.keys() == wanted.keys()
    assert torch.equal(converted["head.weight"], file["classifier.6.weight"])
    assert torch.equal(converted["stages.0.conv1.bias"], file["features.0.bias"])
    status, out, err = lamina(*line[:-1], "float.safetensors", "--dtype", "float32")
    assert (status, err) == (0, "")
    assert "torchvision" in out
    assert "float32" in out
    single = load_file("float.safetensors")
    assert all(torch.equal(single[name], tensor.float()) for name, tensor in converted.items())
    assert {tensor.dtype for tensor in single.values()} == {torch.float32}


def test_an_entry_is_chosen_on_the_command_line(lamina: Lamina, tmp_path: Path) -> None:
    raw, averaged = state(image_size=16), {name: tensor + 1 for name, tensor in state(image_size=16).items()}
    torch.save({"model": raw, "model_ema": averaged, "epoch": 3}, "both.pth")
    for entry, wanted in (((), averaged), (("--entry", "model"), raw)):
        assert (
            lamina("convert", "lenet5", "both.pth", "--model.image-size", "16", "--out", "x.safetensors", *entry)[0]
            == 0
        )
        assert torch.equal(load_file("x.safetensors")["head.bias"], wanted["head.bias"])
    line = ("train", "lenet5", *SHORT, "--dry-run", "--model.image-size", "16", "--weights", "both.pth")
    status, _, err = lamina(*line, "--entry", "model")
    assert (status, "both.pth in its 'model', named as lamina" in err) == (0, True)
    assert "both.pth has no entry 'ema' with weights: it has model, model_ema" in one_line(
        lamina(*line, "--entry", "ema")
    )
    says = one_line(lamina("train", "lenet5", *SHORT, "--entry", "model"))
    assert "entry (--entry) is of a file of weights: give --weights too" in says


def test_convert_fills_in_the_counters_of_old_files(lamina: Lamina, tmp_path: Path) -> None:
    model = state("resnet20")
    old = {name: tensor for name, tensor in model.items() if not name.endswith("num_batches_tracked")}
    save_file(old, "old.safetensors")
    assert lamina("convert", "resnet20", "old.safetensors", "--out", "new.safetensors")[0] == 0
    new = load_file("new.safetensors")
    assert new.keys() == model.keys()
    counters = [tensor for name, tensor in new.items() if name.endswith("num_batches_tracked")]
    assert counters
    assert all(tensor.dtype == torch.int64 and tensor.item() == 0 for tensor in counters)
    assert all(torch.equal(new[name], tensor) for name, tensor in old.items())


def test_convert_says_what_is_wrong_and_writes_nothing(lamina: Lamina, tmp_path: Path) -> None:
    save_file(state(), "lenet.safetensors")
    save_file({**state(), "c5.1.weight": state()["c5.1.weight"].half()}, "mixed.safetensors")
    save_file({**state(), "c5.1.bias": torch.full((120,), 1e6)}, "large.safetensors")
    there = {path.name for path in tmp_path.iterdir()}
    for line, status, says in (
        ("convert lenet5 none.pth --out x.safetensors", 2, "no such file: none.pth"),
        ("convert lennet5 lenet.safetensors --out x.safetensors", 2, "did you mean 'lenet5'?"),
        ("convert lenet5 lenet.safetensors", 2, "--out missing"),
        ("convert lenet5 lenet.safetensors --out x.pth", 2, "--out x.pth: the name must end in .safetensors"),
        ("convert lenet5 lenet.safetensors --out no/x.safetensors", 2, "there is no folder no"),
        ("convert lenet5 lenet.safetensors --out x.safetensors --dtype int8", 2, "--dtype cannot take 'int8'"),
        ("convert lenet5 lenet.safetensors --out x.safetensors --model.pol max", 2, "did you mean '--model.pool'?"),
        (
            "convert lenet5 lenet.safetensors --out x.safetensors --model.num-classes 7",
            2,
            "has 10 classes, the model 7: set --model.num-classes to the number of classes in the file",
        ),
        ("convert alexnet lenet.safetensors --out x.safetensors", 2, "does not fit this AlexNet"),
        (
            "convert lenet5 mixed.safetensors --out x.safetensors",
            2,
            "holds float16 and float32 numbers: choose one with --dtype",
        ),
        (
            "convert lenet5 large.safetensors --out x.safetensors --dtype float16",
            1,
            "c5.1.bias holds numbers too large for float16",
        ),
    ):
        assert says in one_line(lamina(*line.split()), status), line
    assert {path.name for path in tmp_path.iterdir()} == there


# train


def test_training_begins_with_the_weights(lamina: Lamina, tmp_path: Path) -> None:
    file = state(image_size=16)
    save_file(file, "begin.safetensors")
    still = ("--lr", "1e-30")  # so small that nothing moves
    status, _, err = lamina(
        "train", "lenet5", *SHORT, *still, "--model.image-size", "16", "--weights", "begin.safetensors"
    )
    assert status == 0, err
    assert "note: starts from 10 tensors of begin.safetensors, named as lamina names them\n" in err
    run = open_run("runs/lenet5-digits")
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, file[name]), name
    config = yaml.safe_load(Path("runs/lenet5-digits/config.yaml").read_text())
    assert (config["weights"], config["reset_head"]) == ("begin.safetensors", False)
    card = json.loads(Path("runs/lenet5-digits/card.json").read_text())
    expected = {"file": "begin.safetensors", "sha256": digest(Path("begin.safetensors")), "names": "lamina"}
    assert card["weights"] == expected


def test_another_class_count_needs_reset_head(lamina: Lamina, tmp_path: Path) -> None:
    file = state(num_classes=26, image_size=16)
    save_file(file, "letters.safetensors")
    line = ("train", "lenet5", *SHORT, "--lr", "1e-30", "--model.image-size", "16", "--weights", "letters.safetensors")
    says = one_line(lamina(*line))
    assert "letters.safetensors has 26 classes, the model 10: reset_head=True (--reset-head)" in says
    assert not Path("runs").exists()
    status, _, err = lamina(*line, "--reset-head")
    assert status == 0, err
    assert "; the head is new" in err
    model = open_run("runs/lenet5-digits").model.state_dict()
    assert torch.equal(model["f6.1.weight"], file["f6.1.weight"])
    drawn = open_run("runs/lenet5-digits").untrained().state_dict()
    assert torch.equal(model["head.weight"], drawn["head.weight"]), "the seed's head"


def test_a_run_is_begun_with_another_runs_weights(lamina: Lamina, tmp_path: Path) -> None:
    assert lamina("train", "lenet5", *SHORT, "--name", "first")[0] == 0
    line = ("train", "lenet5", *SHORT, "--lr", "1e-30", "--weights", "runs/first", "--name", "second", "--seed", "9")
    assert lamina(*line)[0] == 0
    first, second = (open_run(f"runs/{name}").model.state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())


def test_a_dry_run_compares_the_weights(lamina: Lamina, tmp_path: Path) -> None:
    save_file(state("resnet20"), "other.safetensors")
    line = ("train", "lenet5", *SHORT, "--dry-run", "--weights", "other.safetensors")
    assert "other.safetensors does not fit this LeNet5: " in one_line(lamina(*line))
    save_file(state(image_size=8 * 2), "fits.safetensors")
    status, _, err = lamina(*line[:-1], "fits.safetensors", "--model.image-size", "16")
    assert status == 0
    assert "note: starts from 10 tensors of fits.safetensors" in err
    assert not Path("runs").exists()


def test_a_checkpoint_with_code_is_refused(lamina: Lamina, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "pwned",))

    torch.save({"state_dict": state(), "args": Payload()}, "x.pth")
    for line in (
        ("train", "lenet5", *SHORT, "--weights", "x.pth"),
        ("convert", "lenet5", "x.pth", "--out", "x.safetensors"),
    ):
        assert "x.pth is refused: reading it would run" in one_line(lamina(*line), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--weights none.pth", "no such file: none.pth"),
        ("--weights .", ". is a folder without a model.safetensors"),
        ("--weights", "--weights needs a value"),
        ("--weights $NOWHERE_AT_ALL/x.pth", "the environment variable NOWHERE_AT_ALL is not set"),
        ("--reset-head", "reset_head (--reset-head) is for loaded weights: give --weights too"),
        ("--reset-head true", "unexpected argument 'true'"),
    ],
)
def test_misuse_is_one_line(line: str, says: str, lamina: Lamina, tmp_path: Path) -> None:
    assert says in one_line(lamina("train", "lenet5", *SHORT, *line.split()))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weights: 3", "key 'weights': expected a file's name, got 3"),
        ("weights: x.pth\nreset_head: 1", "key 'reset_head': expected true or false, got 1"),
    ],
)
def test_a_faulty_config_is_one_line(text: str, says: str, lamina: Lamina, tmp_path: Path) -> None:
    Path("recipe.yaml").write_text(f"name: lenet5\ndata: digits\n{text}\n")
    assert says in one_line(lamina("train", "--config", "recipe.yaml"))


# resume


def test_a_run_is_resumed_when_the_file_is_gone(lamina: Lamina, tmp_path: Path) -> None:
    save_file(state(), "begin.safetensors")
    line = ("train", "lenet5", "--data", "digits", "--batch-size", "256", "--weights", "begin.safetensors")
    line += ("--schedule", "constant", "--warmup", "0")  # the same in one epoch as in two
    assert lamina(*line, "--epochs", "2", "--name", "whole")[0] == 0
    assert lamina(*line, "--epochs", "1", "--name", "parts")[0] == 0
    Path("begin.safetensors").unlink()
    status, _, err = lamina("train", "--name", "parts", "--resume", "--epochs", "2")
    assert status == 0, err
    whole, parts = (open_run(f"runs/{name}").model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], tensor) for name, tensor in parts.items())
    says = one_line(lamina("train", "--name", "parts", "--resume", "--weights", "other.safetensors"))
    assert "was started with weights=begin.safetensors; it cannot be resumed with weights=other.safetensors" in says


def test_a_run_without_a_checkpoint_begins_again_with_the_same_weights(tmp_path: Path) -> None:
    file = tmp_path / "begin.safetensors"
    save_file(state(image_size=16), file)
    given = {"data": "digits", "steps": 2, "batch_size": 32, "lr": 1e-30, "report": False, "directory": tmp_path}
    run = train("lenet5", weights=file, model_options={"image_size": 16}, **given)  # type: ignore[arg-type]
    shutil.rmtree(run.path / "checkpoints")
    again = train("lenet5", resume=True, name=run.path.name, **{**given, "steps": 3})  # type: ignore[arg-type]
    assert torch.equal(again.model.state_dict()["c5.1.weight"], state(image_size=16)["c5.1.weight"])
    shutil.rmtree(run.path / "checkpoints")
    save_file({name: tensor + 1 for name, tensor in state(image_size=16).items()}, file)
    with pytest.raises(RunError, match=r"is not the file of weights that .* was started from: it has changed"):
        train("lenet5", resume=True, name=run.path.name, **given)  # type: ignore[arg-type]


def test_training_in_double_precision_begins_with_single_weights(tmp_path: Path) -> None:
    file = tmp_path / "begin.safetensors"
    save_file(state(), file)
    run = train(
        "lenet5", data="digits", steps=1, lr=1e-30, precision="fp64", weights=file, directory=tmp_path, report=False
    )
    assert torch.equal(run.model.state_dict()["head.weight"], state()["head.weight"].double())
