"""``lamina evaluate MODEL --weights FILE``, and folders of GPT-2: judged as they are, nothing trained or written."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import lamina as library
from lamina.errors import UsageError

Lamina = Callable[..., tuple[int, str, str]]
SIZE = ("--model.image-size", "16")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """LeNet-5 on digits, a moment long."""
    return library.train(
        "lenet5", data="digits", steps=60, directory=tmp_path_factory.mktemp("published"), report=False,
        model_options={"image_size": 16},
    )  # fmt: skip


@pytest.fixture
def weights(run: Any, tmp_path: Path) -> Path:
    return Path(shutil.copy(run.directory.weights, tmp_path / "w.safetensors"))


def one_line(called: tuple[int, str, str]) -> str:
    status, out, err = called
    assert (status, out) == (2, ""), called
    return [line for line in err.splitlines() if line.startswith("lamina: ")][-1]


def test_weights_are_judged_as_their_run_is(run: Any, weights: Path, lamina: Lamina, tmp_path: Path) -> None:
    line = ("evaluate", "lenet5", "--weights", weights.name, "--data", "digits", *SIZE)
    status, out, err = lamina(*line, "--split", "test", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["metrics"] == pytest.approx(run.evaluate())
    assert found["metrics"]["accuracy"] > 0.3
    assert (found["classes"], found["samples"]) == ([str(digit) for digit in range(10)], 359)
    assert "of these data (--normalisation sets others)" in found["normalisation"]
    status, out, _ = lamina(*line)
    assert status == 0
    assert "train, 1,797 samples" in out, "without splits of their own all data are judged"
    assert "9 9" in out
    other = json.loads(lamina(*line, "--split", "test", "--normalisation", "half", "--json")[1])
    assert other["normalisation"].startswith("mean 0.5, deviation 0.5")
    assert other["metrics"]["loss"] != pytest.approx(found["metrics"]["loss"])
    assert not (tmp_path / "runs").exists()


def test_python_and_the_run_itself_say_the_same(run: Any, weights: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": "digits", "model_options": {"image_size": 16}}
    assert library.evaluate("lenet5", weights=weights, split="test", **options) == pytest.approx(run.evaluate())
    assert library.evaluate("lenet5", weights=run.path, data="digits") == pytest.approx(run.evaluate())
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    save_file({"1.weight": torch.zeros(10, 64), "1.bias": torch.zeros(10)}, tmp_path / "own.safetensors")
    found = library.evaluate(module, weights=tmp_path / "own.safetensors", data="digits")
    assert found["loss"] == pytest.approx(math.log(10)), "a module of one's own"
    with pytest.raises(UsageError, match="its own preprocessing and options: leave out normalisation"):
        library.evaluate("lenet5", weights=run.path, data="digits", normalisation="half")
    with pytest.raises(UsageError, match="is a run of lenet5, not of mlp"):
        library.evaluate("mlp", weights=run.path, data="digits")


def test_classes_of_another_number_are_refused(lamina: Lamina, weights: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (16, 16), 40 * number).save(tmp_path / "photos" / name / f"{number}.png")
    line = ("evaluate", "lenet5", "--weights", weights.name, *SIZE)
    says = one_line(lamina(*line, "--data", "photos", "--normalisation", "half"))
    assert "has 10 classes, the model 2: weights are judged as they are" in says
    assert "--data is missing" in one_line(lamina(*line))
    assert "or give its weights with --weights FILE" in one_line(lamina("evaluate", "lenet5"))
    assert "--entry is of a file" in one_line(lamina("evaluate", "some-run", "--entry", "ema"))
    assert "did you mean 'lenet5'?" in one_line(lamina("evaluate", "lennet5", *line[2:], "--data", "digits"))


def test_published_weights_of_a_colour_model(lamina: Lamina, tmp_path: Path) -> None:
    options = {"num_classes": 2, "widths": (2, 2, 2), "blocks": (1, 1, 1), "shortcut": "B"}
    model = library.create_model("resnet20", **options)
    torch.save({"state_dict": model.state_dict(), "ema": {k: v + 1 for k, v in model.state_dict().items()}}, "w.pth")
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (90 * number, 9, 200)).save(tmp_path / "photos" / name / "a.png")
    line = ("evaluate", "resnet20", "--weights", "w.pth", "--data", "photos", "--json", "--model.widths", "2,2,2")
    line += ("--model.blocks", "1,1,1", "--model.shortcut", "B")
    figures = {}
    for entry in ("state_dict", "ema"):
        status, out, err = lamina(*line, "--entry", entry)
        assert status == 0, err
        found = json.loads(out)
        assert found["normalisation"] == "mean 0.485, 0.456, 0.406, deviation 0.229, 0.224, 0.225"
        assert found["classes"] == ["cat", "dog"]
        figures[entry] = found["metrics"]["loss"]
    assert figures["ema"] != figures["state_dict"]


def test_numbers_without_their_scale_are_not_judged(lamina: Lamina, tmp_path: Path) -> None:
    save_file(library.create_model("mlp", in_features=10, hidden=(4,), num_classes=1).state_dict(), "m.safetensors")
    line = ("evaluate", "mlp", "--weights", "m.safetensors", "--data", "diabetes", "--model.hidden", "4")
    assert "does not hold the mean and deviation of its targets" in one_line(lamina(*line))


def test_a_folder_of_gpt2(lamina: Lamina, tmp_path: Path) -> None:
    import text_tokenizers as made

    (tmp_path / "hf").mkdir()
    tokenizer = made.byte_pairs(280)
    tokenizer.save("hf/tokenizer.json")
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 16, "vocab_size": tokenizer.get_vocab_size()}
    (tmp_path / "hf/config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
    model = library.create_model("gpt2", layers=1, heads=2, width=8, context=16, vocab_size=sizes["vocab_size"])
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, "hf/model.safetensors")
    (tmp_path / "t.txt").write_text(made.TEXT * 2, encoding="utf-8")
    status, out, err = lamina("generate", "hf", "--prompt", "the cat", "--max-new-tokens", "5", "--greedy", "--json")
    assert status == 0, err
    wanted = library.open_pretrained("hf").generate("the cat", max_new_tokens=5, greedy=True)
    assert json.loads(out)["text"] == wanted[0]
    for line in (("evaluate", "hf"), ("evaluate", "gpt2", "--weights", "hf")):
        status, out, err = lamina(*line, "--data", "t.txt", "--json")
        assert status == 0, err
        assert json.loads(out)["metrics"]["perplexity"] == pytest.approx(sizes["vocab_size"], rel=0.2)
    assert lamina("convert", "gpt2", "hf", "--out", "ours.safetensors")[0] == 0
    assert torch.equal(load_file("ours.safetensors")["tokens.weight"], model.state_dict()["tokens.weight"])
    (tmp_path / "hf/config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "of a model 'bert', which is none here" in one_line(lamina("generate", "hf", "--prompt", "a"))


def test_an_entry_for_create_model_export_and_inspect(lamina: Lamina, tmp_path: Path) -> None:
    model = library.create_model("lenet5")
    raw, averaged = model.state_dict(), {name: tensor + 1 for name, tensor in model.state_dict().items()}
    torch.save({"model": raw, "ema": averaged}, "both.pth")
    for entry, wanted in ((None, averaged), ("model", raw)):
        found = library.create_model("lenet5", weights="both.pth", entry=entry).state_dict()
        assert torch.equal(found["head.bias"], wanted["head.bias"])
    with pytest.raises(UsageError, match="give weights= too"):
        library.create_model("lenet5", entry="model")
    Image.new("L", (32, 32), 99).save("a.png")
    inspect = ("inspect", "lenet5", "--image", "a.png", "--json")
    figures = [
        json.loads(lamina(*inspect, "--weights", "both.pth", "--entry", entry)[1])["predictions"]
        for entry in ("ema", "model")
    ]
    assert figures[0] != figures[1]
    assert "give --weights too" in one_line(lamina(*inspect, "--entry", "ema"))
    for verb in (("export", "lenet5", "--to", "torch"), inspect):
        says = one_line(lamina(*verb, "--weights", "both.pth", "--entry", "swa"))
        assert "no entry 'swa' with weights: it has ema, model" in says
    assert lamina("export", "lenet5", "--to", "torch", "--weights", "both.pth", "--entry", "model")[0] == 0
