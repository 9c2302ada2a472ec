"""What is exported says what the run says, for batches of any size, and knows how to prepare its input."""

from __future__ import annotations

import gc
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import lamina
from lamina.data.modality import load_preprocess
from lamina.export.openvino import OpenvinoModel, openvino_core
from lamina.runs.run import Run
from lamina.runs.views.export import export_variant


@pytest.fixture(scope="module")
def onnx_of_digits(digits: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.export("onnx", tmp_path_factory.mktemp("onnx") / "digits.onnx").path


def some_digits(run: Run, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(iter(run.batches("test")))
    return batch["image"][:count], batch["target"][:count]


@pytest.mark.parametrize("batch", [1, 2, 37])
def test_onnx_runtime_alone_gives_the_models_classes(
    engines: None, digits: Run, onnx_of_digits: Path, batch: int
) -> None:
    import onnxruntime

    images, targets = some_digits(digits, batch)
    session = onnxruntime.InferenceSession(str(onnx_of_digits), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    (logits,) = session.run(["logits"], {"image": images.numpy()})
    wanted = digits.model(images).detach().numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-4 * np.abs(wanted).max())
    assert (logits.argmax(1) == wanted.argmax(1)).all()
    if batch == 37:
        assert (logits.argmax(1) == targets.numpy()).mean() > 0.5, "the weights exported are not the trained ones"


def test_openvino_alone_gives_the_models_classes(engines: None, digits: Run, plain: Path) -> None:
    done = digits.export("openvino", plain / "digits.xml")
    assert sorted(file.name for file in plain.iterdir()) == ["digits.bin", "digits.xml"]
    assert {file.name for file in done.files} == {"digits.bin", "digits.xml"}
    weights = sum(tensor.nbytes for tensor in digits.model.state_dict().values())
    assert (plain / "digits.bin").stat().st_size >= weights, "the weights were compressed"
    compiled = openvino_core().compile_model(plain / "digits.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in (1, 3, 37):
        images, _ = some_digits(digits, batch)
        wanted = digits.model(images).detach().numpy()
        np.testing.assert_allclose(compiled(images.numpy())[0], wanted, atol=1e-4 * np.abs(wanted).max())


def test_signals_are_handled_after_models_were_closed_in_any_order(engines: None, digits: Run, plain: Path) -> None:
    """Each Core of OpenVINO replaces the stack for signals: closed in this order they left one that was freed, and the
    process died of the next signal, without a trace."""
    path = digits.export("openvino", plain / "digits.xml").path
    first, second = OpenvinoModel(path), OpenvinoModel(path)
    del first
    gc.collect()
    del second
    gc.collect()
    caught: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: caught.append(number))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert caught == [signal.SIGUSR1]


def test_torch_program_gives_the_models_outputs(digits: Run, plain: Path) -> None:
    done = digits.export("torch", plain / "digits.pt2")
    extra = {"lamina.json": ""}
    program = torch.export.load(done.path, extra_files=extra)
    for batch in (1, 3, 37):
        images, _ = some_digits(digits, batch)
        torch.testing.assert_close(program.module()(images), digits.model(images), rtol=0, atol=1e-5)
    assert json.loads(json.loads(extra["lamina.json"])["classes"]) == list(digits.classes)
    assert done.difference < 1e-6


def test_the_file_holds_classes_and_preprocessing(engines: None, digits: Run, onnx_of_digits: Path) -> None:
    import onnx

    model = onnx.load(onnx_of_digits)
    known = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert known["classes"] == [str(i) for i in range(10)]
    (image,) = known["inputs"]
    assert (known["model"], image["name"], image["shape"]) == ("lenet5", "image", [1, 32, 32])
    assert load_preprocess({"preprocess.json": known["preprocess"]}) == digits.preprocess


def test_no_path_of_this_machine_is_in_the_files(engines: None, digits: Run, onnx_of_digits: Path, plain: Path) -> None:
    program = digits.export("torch", plain / "digits.pt2").path
    for file in (onnx_of_digits, program):
        content = file.read_bytes()
        assert b"site-packages" not in content
        assert b"lenet5.py" not in content


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_run_predicts_the_same_in_every_engine(engines: None, iris: Run, engine: str) -> None:
    row = {name: float(value) for name, value in iris.source.splits["test"].frame.iloc[0].items()}  # type: ignore[union-attr]
    (wanted,), (got,) = iris.predict(row), iris.predict(row, engine=engine)
    assert got["class"] == wanted["class"]
    assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_the_export_of_a_run_is_made_once_and_again_for_other_weights(engines: None, iris: Run, tmp_path: Path) -> None:
    run = lamina.train("mlp", data="iris", epochs=1, directory=tmp_path, report=False)
    row = dict.fromkeys(iris.preprocess.feature_names, 1.0)
    first = run.predict(row, engine="onnxruntime")
    (file,) = (run.path / "exports").iterdir()
    written = file.stat().st_mtime_ns
    assert run.predict(row, engine="onnxruntime") == first
    assert file.stat().st_mtime_ns == written, "exported again for nothing"
    run.directory.weights.write_bytes(iris.directory.weights.read_bytes())
    again = lamina.open_run(run.path)
    assert again.predict(row, engine="onnxruntime") != first
    assert again.predict(row, engine="onnxruntime")[0]["probabilities"] == pytest.approx(
        again.predict(row)[0]["probabilities"], abs=1e-4
    )


@pytest.mark.parametrize("engine", [None, "openvino"])
def test_a_file_predicts_from_itself_alone(
    engines: None, digits: Run, onnx_of_digits: Path, plain: Path, engine: str | None
) -> None:
    moved = plain / "moved.onnx"
    moved.write_bytes(onnx_of_digits.read_bytes())
    image = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    (got,), (wanted,) = lamina.open_exported(moved, engine).predict(image), digits.predict(image)
    assert got["class"] == wanted["class"]
    assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_regression_comes_back_in_its_own_units(engines: None, tmp_path: Path) -> None:
    run = lamina.train("mlp", data="diabetes", epochs=2, directory=tmp_path, report=False)
    row = {name: float(value) for name, value in run.source.splits["test"].frame.iloc[0].items()}  # type: ignore[union-attr]
    (got,) = run.predict(row, engine="openvino")
    (wanted,) = run.predict(row)
    assert got == pytest.approx(wanted, rel=1e-3)
    (truth,) = run.source.splits["test"].targets[0].tolist()
    assert abs(got["progression"] - truth) < 400
    assert abs(got["progression"]) > 5, "standardised, not in units of its own"


def test_a_variant_is_exported_with_the_weights_of_a_file(engines: None, plain: Path) -> None:
    from safetensors.torch import save_model

    torch.manual_seed(3)
    model = lamina.create_model("lenet5")
    save_model(model, str(plain / "w.safetensors"))
    done = export_variant("lenet5", "onnx", plain / "l.onnx", plain / "w.safetensors")
    from lamina.export.writing import open_engine

    x = torch.randn(4, 1, 32, 32)
    torch.testing.assert_close(open_engine(done.path, "onnxruntime")(x), model(x).detach(), rtol=0, atol=1e-4)


def test_attention_over_a_single_window_is_exported(engines: None, plain: Path) -> None:
    """The exporter takes attention apart, and then fails on reshapes of its output (torch 2.13)."""
    from lamina.data.protocols import Input
    from lamina.export.facts import ExportFacts
    from lamina.export.writing import write_export

    torch.manual_seed(0)
    model = lamina.create_model("swin_tiny", image_size=56, width=8, depths=(1, 1), heads=(1, 2), num_classes=3)
    facts = ExportFacts(model="swin", inputs=(Input("image", "float32", (3, 56, 56)),))
    assert write_export(model, facts, "onnx", plain / "swin.onnx").difference < 1e-5


def test_weights_too_large_for_one_file_lie_beside_it(
    engines: None, iris: Run, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.export.onnx.WHOLE_BYTES", 100)
    monkeypatch.chdir(plain)
    done = iris.export("onnx", "iris.onnx")
    names = {file.name for file in plain.iterdir()}
    assert names == {"iris.onnx", "iris.onnx.data"} == {file.name for file in done.files}
    row = dict.fromkeys(iris.preprocess.feature_names, 1.0)
    for engine in ("onnxruntime", "openvino"):
        (got,) = lamina.open_exported("iris.onnx", engine).predict(row)
        assert got["probabilities"] == pytest.approx(iris.predict(row)[0]["probabilities"], abs=1e-4)
