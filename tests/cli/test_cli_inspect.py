"""``lamina inspect``: pictures and a page of an image or a text, and one line for what does not fit."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from lamina import create_model, open_run, train
from lamina.inspection import Inspection
from sample_texts import write_reviews

Lamina = Callable[..., tuple[int, str, str]]
Trained = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit <b>.png"
    Image.fromarray((load_digits().images[3] * 15.9).astype("uint8")).save(path)
    return path


def test_a_run_is_looked_at(lamina: Lamina, trained: Trained, digit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained[0] / "runs/lenet5-digits/inspect"
    monkeypatch.chdir(trained[0])
    status, out, err = lamina("inspect", "lenet5-digits", "--image", digit)
    assert (status, err) == (0, "")
    assert out == "wrote runs/lenet5-digits/inspect/inspect.html and 6 pictures beside it\n"
    assert {path.name for path in folder.iterdir()} == {
        "inspect.html", "cam.png", "receptive-field.png", "filters.png", "stage-0.png", "stage-1.png", "gradients.png",
    }  # fmt: skip
    for path in folder.glob("*.png"):
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.std() > 5, f"{path.name} shows nothing"
    page = (folder / "inspect.html").read_text()
    assert "digit &lt;b&gt;.png" in page
    assert "trained weights" in page
    assert "learned nothing" not in page
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page), "asks for something"
    for words in (
        "Class activation map",
        "Grad-CAM for",
        "First-layer filters",
        "Feature maps: stage 1",
        "Gradient flow",
    ):
        assert words in page, words
    report = (trained[0] / "runs/lenet5-digits/report.html").read_text()
    for stage in ("stage 0", "stage 1"):
        assert f"Feature maps: {stage}" in page
        assert f"Feature maps: {stage}" in report, "counted alike in both"


def test_a_class_and_a_stage_are_chosen(lamina: Lamina, trained: Trained, digit: Path, tmp_path: Path) -> None:
    line = ("inspect", trained[0] / "runs/lenet5-digits", "--image", digit, "--class", "8", "--stage", "0")
    status, out, err = lamina(*line, "--out", "here", "--json")
    assert (status, err) == (0, "")
    said = json.loads(out)
    assert (said["model"], said["class"], said["random"]) == ("lenet5", "8", False)
    assert said["files"][0] == "here/inspect.html"
    assert all(Path(file).is_file() for file in said["files"])
    assert "Grad-CAM for 8, from stage 0" in Path("here/inspect.html").read_text()


def test_a_bare_model_says_that_it_has_learned_nothing(lamina: Lamina, digit: Path, tmp_path: Path) -> None:
    status, out, err = lamina("inspect", "lenet5", "--image", digit)
    assert status == 0
    assert out.startswith("wrote inspect-lenet5/inspect.html")
    assert err == "note: lenet5 has random weights: give a run, or --weights FILE\n"
    page = Path("inspect-lenet5/inspect.html").read_text()
    assert "This model has learned nothing" in page
    assert "random weights" in page
    torch.manual_seed(3)
    save_file(create_model("lenet5").state_dict(), "lenet5.safetensors")
    status, out, err = lamina("inspect", "lenet5", "--image", digit, "--weights", "lenet5.safetensors", "--out", "w")
    assert (status, err) == (0, "")
    page = Path("w/inspect.html").read_text()
    assert "learned nothing" not in page
    assert "10 tensors of lenet5.safetensors" in page


def test_misuse_is_one_line(lamina: Lamina, trained: Trained, digit: Path, tmp_path: Path) -> None:
    run = str(trained[0] / "runs/lenet5-digits")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "taken").write_text("")
    for words, status, says in (
        (("lennet5", "--image", digit), 2, "did you mean 'lenet5'?"),
        ((run,), 2, "nothing to inspect: give --image FILE or --text TEXT"),
        ((run, "--image", digit, "--text", "a"), 2, "nothing to inspect:"),
        ((run, "--text", "a"), 2, "takes image data, not texts"),
        (("lstm-lm", "--text", "a"), 2, "--text is for runs"),
        ((run, "--text", "a", "--stage", "0"), 2, "--stage is for images"),
        ((run, "--image", digit, "--text", "word"), 2, "--text"),
        ((run, "--image", "none.png"), 2, "--image none.png: no such file"),
        ((run, "--image", digit, "--class", "eight"), 2, "unknown class 'eight'"),
        ((run, "--image", digit, "--class", "10"), 2, "unknown class '10'"),
        ((run, "--image", digit, "--stage", "2"), 2, "there is no stage 2: this model has 2"),
        ((run, "--image", digit, "--stage", "x"), 2, "--stage"),
        ((run, "--image", digit, "--weights", "w.pth"), 2, "--weights is for a model named without a run"),
        (("mlp", "--image", digit), 2, "mlp is not an image model: inspect without a run needs one"),
        ((run, "--image", "text.png"), 1, "text.png"),
        (("lenet5", "--image", digit, "--weights", "none.pth"), 2, "no such file: none.pth"),
        ((run, "--image", digit, "--out", "taken"), 1, "cannot write into taken"),
    ):
        called = lamina("inspect", *words)
        assert called[0] == status, called
        assert called[1] == ""
        assert called[2].count("\n") == 1, called
        assert says in called[2], called
    assert {path.name for path in tmp_path.iterdir()} == {"text.png", "taken", digit.name}


def test_python_gives_tensors(trained: Trained, digit: Path) -> None:
    run = open_run(trained[0] / "runs/lenet5-digits")
    seen = run.inspect(digit)
    assert isinstance(seen, Inspection)
    said = run.predict(digit)[0]
    assert run.classes[seen.target] == said["class"]
    assert float(seen.logits_K.softmax(0).max()) == pytest.approx(said["probability"], rel=1e-4)
    assert seen.cam_HW.shape == (32, 32)
    assert run.inspect(digit, "8", stage=0).target == 8


def test_a_text_is_looked_at(lamina: Lamina, tmp_path: Path) -> None:
    train(
        "lstm-classifier", data=str(write_reviews(tmp_path / "reviews.tsv")), epochs=3, batch_size=16, lr=0.01,
        report=False, model_options={"embedding_dim": 8, "hidden_size": 8},
    )  # fmt: skip
    text = "A dull <script>alert(1)</script>, truly weak."
    status, out, err = lamina("inspect", "lstm-classifier-reviews", "--text", text)
    assert (status, err) == (0, "")
    assert out == "wrote runs/lstm-classifier-reviews/inspect/inspect.html and 1 picture beside it\n"
    folder = Path("runs/lstm-classifier-reviews/inspect")
    assert {path.name for path in folder.iterdir()} == {"inspect.html", "gates-0.png"}
    assert np.asarray(Image.open(folder / "gates-0.png").convert("RGB")).std() > 5
    page = (folder / "inspect.html").read_text()
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page), "asks for something"
    for words in ("a text of", "What each word adds to negative", "Gates over time", "trained weights"):
        assert words in page, words
    line = ("inspect", "lstm-classifier-reviews", "--text", text, "--class", "positive", "--out", "here", "--json")
    status, out, err = lamina(*line)
    assert (status, err) == (0, "")
    said = json.loads(out)
    assert (said["model"], said["class"], said["random"]) == ("lstm-classifier", "positive", False)
    assert list(said["predictions"]) == ["negative", "positive"]
    assert said["said"] == said["predictions"], "the former key"
    assert said["files"] == ["here/inspect.html", "here/gates-0.png"]
    status, _, err = lamina("inspect", "lstm-classifier-reviews", "--text", "")
    assert (status, err) == (2, "lamina: the text is empty\n")
