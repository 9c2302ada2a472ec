"""Files of fewer bits: int8 that is judged on validation data, kept where it pays, and weights in 16 bits."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.cli.main import main
from lamina.data.protocols import Input
from lamina.errors import ExportError, RunError, UsageError
from lamina.export.facts import ExportFacts
from lamina.export.options import ExportOptions
from lamina.export.quantising import Trial
from lamina.export.writing import Exported, open_engine, write_export
from lamina.runs.run import Run

pytestmark = pytest.mark.usefixtures("engines")
ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}
SUFFIX = {"onnx": ".onnx", "openvino": ".xml"}
needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="pip install lamina[int8]")
FORMATS = ["onnx", pytest.param("openvino", marks=needs_nncf)]


def bytes_of(model: nn.Module) -> int:
    """The size of its weights."""
    return sum(value.nbytes for value in model.state_dict().values())


def taken(monkeypatch: pytest.MonkeyPatch, int8: float, other: float) -> None:
    """What the timing finds."""
    times = lambda engines, example: {name: int8 if name == "int8" else other for name in engines}  # noqa: E731
    monkeypatch.setattr("lamina.export.quantising.timed", times)


@pytest.mark.parametrize("to", FORMATS)
def test_int8_is_smaller_as_accurate_and_predicts(
    digits: Run, plain: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    taken(monkeypatch, 1.0, 2.0)
    path = plain / f"digits{SUFFIX[to]}"
    done = digits.export(to, path, int8=True, max_drop=0.03)
    assert done.bytes < 0.5 * bytes_of(digits.model)
    assert (done.facts.precision, done.note) == ("int8", "")
    engine = open_engine(path, ENGINES[to])
    assert engine.facts == done.facts, "the file itself has what is known of it"
    right = [engine(batch["image"]).argmax(1) == batch["target"] for batch in digits.batches("validation")]
    accuracy = torch.cat(right).float().mean().item()
    quality = done.facts.quality
    assert quality["metric"] == "accuracy"
    assert quality["after"] == pytest.approx(accuracy, abs=1e-6)
    assert quality["before"] == pytest.approx(digits.evaluate("validation")["accuracy"], abs=1e-6)
    assert quality["before"] - quality["after"] <= 0.03
    image = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    (got,), (wanted,) = lamina.open_exported(path).predict(image), digits.predict(image)
    assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=0.2)
    assert got["probabilities"] != pytest.approx(wanted["probabilities"], abs=1e-6), "nothing was quantised"


@needs_nncf
def test_int8_that_is_slower_is_said_and_not_kept(
    digits: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lamina.export.openvino import has_bf16

    shutil.rmtree(digits.path / "exports", ignore_errors=True)
    taken(monkeypatch, 3.0, 2.0)
    assert main(["export", str(digits.path), "--to", "openvino", "--int8", "--max-drop", "0.03", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    precision = "bf16" if has_bf16() else "fp32"
    assert done["facts"]["precision"] == precision
    assert f"int8 is slower here: 3.00 ms for one sample, {precision} 2.00 ms" in done["note"]
    assert "--even-if-slower" in done["note"]
    stem = "lenet5-bf16" if precision == "bf16" else "lenet5"
    assert {Path(file).stem for file in done["files"]} == {stem}, "a file that is called int8 is int8"
    batch = next(iter(digits.batches("validation")))
    engine = open_engine(Path(done["path"]), "openvino")
    difference = (engine(batch["image"]) - digits.model(batch["image"])).abs().max().item()
    assert difference < 1e-3 if precision == "fp32" else 1e-6 < difference < 0.5, "it computes in the precision it has"


class Scales(nn.Module):
    """Its first layer tells by a small feature beside a huge one, which one scale for both cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1e-6, 1.0], [0.0, -1.0]] * 4))
            self.second.weight.copy_(torch.eye(8))
            self.last.weight.copy_(torch.tensor([[1.0, -1.0] * 4, [-1.0, 1.0] * 4]))
            for layer in (self.first, self.second, self.last):
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.relu(self.second(torch.relu(self.first(x)))))
        return y


def scaled(path: Path, to: str, max_drop: float, model: nn.Module | None = None) -> Exported:
    """The int8 export of ``Scales``, judged by how often it is right."""
    draw = torch.Generator().manual_seed(0)
    target = torch.arange(200) % 2
    x = torch.stack(
        [1000 * torch.rand(200, generator=draw), (1 - 2 * target) * (0.3 + torch.rand(200, generator=draw))], 1
    )
    trial = Trial(
        samples=[{"features": row[None]} for row in x[:50]],
        score=lambda engine: (engine(x).argmax(1) == target).float().mean().item(),
        metric="accuracy",
        options=ExportOptions(int8=True, max_drop=max_drop, even_if_slower=True),
    )
    facts = ExportFacts(model="scales", inputs=(Input("features", "float32", (2,)),))
    return write_export(model or Scales(), facts, to, path, trial.options, trial)


@pytest.mark.parametrize("to", FORMATS)
def test_the_layer_that_loses_most_stays_in_float(plain: Path, to: str) -> None:
    done = scaled(plain / f"m{SUFFIX[to]}", to, 0.01)
    quality = done.facts.quality
    assert quality["kept"] == ["first"]
    assert quality["before"] == 1.0
    assert quality["after"] >= 0.99


def test_too_great_a_loss_is_refused_and_nothing_is_written(plain: Path) -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(2, 2, bias=False)
            self.only.weight = nn.Parameter(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.only(x)
            return y

    (plain / "m.onnx").write_bytes(b"what was there")
    with pytest.raises(
        ExportError, match=r"m\.onnx is not written: in int8 accuracy .* 1\.0000 before; --max-drop 0.01"
    ):
        scaled(plain / "m.onnx", "onnx", 0.01, One())
    assert [file.name for file in plain.iterdir()] == ["m.onnx"]
    assert (plain / "m.onnx").read_bytes() == b"what was there"


def test_a_loss_is_compared_in_proportion() -> None:
    trial = Trial(samples=[], score=lambda engine: 0.0, metric="loss", lower_is_better=True)
    assert trial.drop(200.0, 201.0) == pytest.approx(0.005)
    assert trial.drop(0.5, 0.4) < 0


def test_fp16_halves_the_weights(digits: Run, plain: Path) -> None:
    half = digits.export("onnx", plain / "half.onnx", fp16=True)
    assert 0.5 * bytes_of(digits.model) <= half.bytes < 0.7 * bytes_of(digits.model)
    assert 1e-6 < half.difference < 1e-3
    assert half.facts.precision == "fp16"
    image = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    for engine in ENGINES.values():
        (got,), (wanted,) = lamina.open_exported(half.path, engine).predict(image), digits.predict(image)
        assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=5e-3)


def test_weights_beyond_16_bits_stay_as_they_are(plain: Path) -> None:
    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1e6, 2.0]))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale

    facts = ExportFacts(model="huge", inputs=(Input("features", "float32", (2,)),))
    done = write_export(Huge(), facts, "openvino", plain / "m.xml", ExportOptions(fp16=True))
    assert done.difference < 1e-3


def test_what_cannot_be_int8_is_refused_by_name(digits: Run, plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([digits.path, "--to", "torch", "--int8"], "the engine torch has no int8: choose --to onnx or openvino"),
        ([digits.path, "--to", "torch", "--fp16"], "the engine torch has no fp16: choose --to onnx or openvino"),
        ([digits.path, "--to", "onnx", "--int8", "--fp16"], "int8 and fp16 exclude each other"),
        ([digits.path, "--to", "onnx", "--max-drop", "0.1"], "max_drop is for int8: give --int8 too"),
        ([digits.path, "--to", "onnx", "--max-drop", "0"], "max_drop is for int8: give --int8 too"),
        ([digits.path, "--to", "onnx", "--int8", "--max-drop", "-1"], "max_drop must be at least 0, got -1"),
        ([digits.path, "--to", "onnx", "--int8", "--max-drop", "nan"], "--max-drop cannot take 'nan'"),
        ([digits.path, "--to", "onnx", "--data", "x"], "--data is for --int8"),
        (["lenet5", "--to", "onnx", "--int8"], "but lenet5 is a model: export a run of it, or --fp16"),
    ):
        capsys.readouterr()
        assert main(["export", *map(str, words), "--out", str(plain / "m.onnx")]) == 2, words
        assert message in capsys.readouterr().err
    assert not list(plain.iterdir())


def rows(path: Path) -> str:
    """A table whose class is the sign of a column."""
    draw = np.random.default_rng(0).normal(size=(120, 2))
    lines = [f"{a:.3f},{b:.3f},{'up' if a > 0 else 'down'}" for a, b in draw]
    path.write_text("\n".join(["a,b,way", *lines]) + "\n", encoding="utf-8")
    return str(path)


def test_calibration_data_that_are_gone_are_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken(monkeypatch, 1.0, 2.0)
    data = rows(tmp_path / "ways.csv")
    run = lamina.train("mlp", data=data, target="way", epochs=2, directory=tmp_path / "runs", report=False)
    (tmp_path / "ways.csv").rename(tmp_path / "moved.csv")
    words = ["export", str(run.path), "--to", "onnx", "--int8", "--max-drop", "0.1"]
    assert main(words) == 1
    message = capsys.readouterr().err
    assert "give their new place with --data (evaluate, export, " in message
    assert message.count("\n") == 1
    assert main([*words, "--data", str(tmp_path / "moved.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["precision"] == "int8"
    (tmp_path / "moved.csv").write_text("a,b,way\n" + "1,2,up\n-1,3,down\n" * 20, encoding="utf-8")
    with pytest.raises(RunError, match="are not those it was trained on"):
        lamina.open_run(run.path, data=str(tmp_path / "moved.csv")).export("onnx", int8=True)


def test_without_validation_data_int8_cannot_be_judged(tmp_path: Path) -> None:
    data = rows(tmp_path / "ways.csv")
    run = lamina.train(
        "mlp", data=data, target="way", epochs=1, validation=0.0, directory=tmp_path / "runs", report=False
    )
    with pytest.raises(UsageError, match="was trained without any: train with --validation, or choose --fp16"):
        run.export("onnx", int8=True)


def test_a_missing_library_names_its_extra(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "nncf" else find(name, *more))
    with pytest.raises(UsageError, match=r"int8 for openvino needs nncf: pip install lamina\[int8\]"):
        digits.export("openvino", int8=True)


def test_an_option_that_export_does_not_have(digits: Run) -> None:
    given: dict[str, Any] = {"int9": True}
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        digits.export("onnx", **given)
