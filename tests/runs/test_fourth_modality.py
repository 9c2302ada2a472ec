"""A kind of data that lamina does not have goes through every verb: one folder a floor, one row a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lamina
from lamina.cli.main import main
from lamina.conformance import NotApplicableError, checks
from lamina.errors import RunError, UsageError
from lamina.runs.training import prepare
from lamina.training.events import StepDone
from plugin_packages import forget, write_package

ROWS = {
    "lamina.modalities": {"spectrum": "spectra.data.modality:MODALITY"},
    "lamina.models": {"spectra": "spectra.models.spectral_cnn"},
    "lamina.views": {"*/spectrum": "spectra.runs.view:SpectrumView"},
    "lamina.recipes": {"spectra": "spectra.recipes"},
}
METALS = ("copper", "iron", "zinc")
Called = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package ``spectra`` installed by its entry points."""
    site = tmp_path_factory.mktemp("site")
    write_package(site, "spectra", ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        forget()
        yield
    forget()


@pytest.fixture
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same without the package."""
    import sys

    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "spectra-1.0.dist-info").exists()])
        forget()
        yield
    forget()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """metals.spectra with a class for each spectrum, doses.spectra with a number, new.spectra with neither."""
    folder, random = tmp_path_factory.mktemp("spectra"), np.random.default_rng(0)
    axis = np.linspace(400, 700, 48)
    kinds, doses = random.integers(3, size=180), random.uniform(0.5, 2, size=180)
    waves = np.sin((axis + random.uniform(0, 200, size=(180, 1))) / (8 * 2.0 ** kinds[:, None]))
    signals = 5 + doses[:, None] * waves + random.normal(0, 0.05, size=waves.shape)

    def write(name: str, header: str, rows: np.ndarray[Any, Any], targets: list[str]) -> None:
        lines = [",".join([header.rstrip(), *(f"{one:.4f}" for one in axis)])]
        lines += [",".join([target, *(f"{one:.5f}" for one in row)]) for target, row in zip(targets, rows, strict=True)]
        (folder / name).write_text("\n".join(line.removeprefix(",") for line in lines) + "\n")

    write("metals.spectra", "metal", signals, [METALS[kind] for kind in kinds])
    write("doses.spectra", "target", signals, [f"{dose:.4f}" for dose in doses])
    write("new.spectra", "", signals[:5], [""] * 5)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> lamina.Run:
    return lamina.train("spectral-cnn", data=str(folder / "metals.spectra"), target="metal", directory=folder / "runs")


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """The command line in the folder of the files and runs: exit status, stdout, stderr."""
    monkeypatch.chdir(folder)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(words))
        return status, *capsys.readouterr()

    return call


def test_no_file_of_lamina_knows_of_it() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(lamina.__file__).parent.rglob("*.py")]
    assert len(texts) > 300
    assert not any("spectrum" in text for text in texts)
    assert all(len(rows) == 1 for rows in ROWS.values())


def test_its_files_are_opened_and_described(folder: Path) -> None:
    source = lamina.open_source(str(folder / "metals.spectra"), options=lamina.DataOptions(target="metal"))
    found = lamina.describe(source)
    assert (found["kind"], found["task"], found["wavelengths"]) == ("spectrum", "classification", 48)
    assert sum(found["sizes"].values()) == 180
    assert list(found["classes"]) == list(METALS)


def test_a_model_learns_it_and_the_run_says_the_same_when_opened_again(run: lamina.Run) -> None:
    figures = run.evaluate()
    assert figures["accuracy"] > 0.9
    assert lamina.open_run(run.path).evaluate() == figures
    assert run.preprocess.notes == ("48 wavelengths, brought to 32",)
    assert json.loads((run.path / "card.json").read_text())["packages"] == {"model": "spectra", "modality": "spectra"}
    assert len(json.loads((run.path / "axis.json").read_text())["nanometres"]) == 32


def test_an_option_of_the_model_decides_what_data_are_brought_to(folder: Path) -> None:
    asked = {"data": str(folder / "metals.spectra"), "target": "metal", "model": {"length": 20}}
    assert prepare("spectral-cnn", asked, dry=True).parts.preprocess.signature()[0].shape == (1, 20)


@pytest.mark.parametrize("memory", ["hold", "stream"])
def test_an_interrupted_training_is_resumed_to_the_bit(memory: str, folder: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "data": str(folder / "metals.spectra"), "target": "metal", "epochs": 2, "memory": memory, "checkpoint_every": 3,
    }  # fmt: skip
    straight = lamina.train("spectral-cnn", name="straight", directory=tmp_path, report=False, **asked)
    training = prepare("spectral-cnn", asked, name="broken", directory=tmp_path)
    with closing(training.events()) as events:
        assert any(isinstance(event, StepDone) and event.step == 11 for event in events)
    resumed = lamina.train(name="broken", directory=tmp_path, resume=True, report=False)
    assert resumed.directory.weights.read_bytes() == straight.directory.weights.read_bytes()
    assert resumed.directory.metrics.read_bytes() == straight.directory.metrics.read_bytes()


def test_files_and_arrays_are_predicted_alike(run: lamina.Run, folder: Path) -> None:
    said = run.predict(str(folder / "new.spectra"))
    assert [set(one) for one in said] == [{"class", "probability", "probabilities"}] * 5
    (batch,) = run.preprocess.input_batches(folder / "new.spectra")
    signals = np.stack([run.preprocess.undo(signal) for signal in batch["signal"]])
    again = run.predict(signals)
    assert [one["class"] for one in again] == [one["class"] for one in said]
    for one, other in zip(again, said, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert run.predict(signals[2])[0]["probabilities"] == pytest.approx(again[2]["probabilities"])
    with pytest.raises(UsageError, match=r"a spectrum is an array of 32 numbers, got \(1, 7\)"):
        run.predict(np.zeros(7))
    with pytest.raises(UsageError, match=r"no such file: nothing\.spectra"):
        run.predict("nothing.spectra")


def test_embed_gives_what_the_head_sees(run: lamina.Run) -> None:
    embedded = run.embed()
    assert embedded.shape == (len(run.source.splits["test"]), 8)
    torch.testing.assert_close(run.model.head(embedded).softmax(1), run.outcome("test")["probabilities"])


def test_the_report_has_its_section(run: lamina.Run) -> None:
    page = (run.path / "report.html").read_text()
    assert '<section id="spectra">' in page
    assert "Spectra by class" in page
    assert "Mean spectra over wavelengths" in page
    assert "48 wavelengths, brought to 32" in page


def test_the_inspection_finds_the_wavelengths_that_matter(run: lamina.Run, folder: Path, call: Called) -> None:
    seen = run.inspect(str(folder / "new.spectra"), "iron")
    assert seen.saliency.shape == seen.axis.shape == (32,)
    assert seen.saliency.max() > 0
    status, out, err = call("inspect", run.directory.name, "--image", "new.spectra", "--class", "iron")
    assert status == 0, err
    assert out == f"wrote runs/{run.directory.name}/inspect/inspect.html and 1 picture beside it\n"
    page = (run.path / "inspect/inspect.html").read_text()
    assert "Which wavelengths it looks at" in page
    assert (run.path / "inspect/saliency.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = call("inspect", run.directory.name, "--text", "iron")
    assert (status, err) == (2, f"lamina: runs/{run.directory.name} takes spectrum data, not texts\n")


def test_the_exported_file_predicts_as_the_run_does(run: lamina.Run, folder: Path) -> None:
    done = run.export("onnx")
    assert [str(one) for one in done.facts.inputs] == ["signal, float32, batch x 1 x 32"]
    known = run.predict(str(folder / "new.spectra"))
    for found in (lamina.open_exported(done.path), run):
        how = {"engine": "onnxruntime"} if found is run else {}
        for one, other in zip(found.predict(str(folder / "new.spectra"), **how), known, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_command_line_knows_it(run: lamina.Run, call: Called) -> None:
    name = run.directory.name
    status, out, _ = call("models", "spectral*")
    assert (status, out.splitlines()[1].split()[:4]) == (0, ["spectral-cnn", "2026", "403", "spectrum"])
    status, out, err = call("data", "metals.spectra", "--target", "metal")
    assert status == 0, err
    assert "kind         spectrum\n" in out
    assert "nanometres   400.0, 700.0\n" in out
    status, out, err = call("info", name)
    assert status == 0, err
    assert "takes       spectrum\n" in out
    assert "Conv1d" in out
    status, out, err = call("predict", name, "new.spectra")
    assert status == 0, err
    assert "new.spectra, row 5" in out
    status, out, err = call("evaluate", name)
    assert status == 0, err
    status, out, _ = call("train", "spectral-cnn", "--help")
    assert status == 0
    assert "--model.length N" in out


def test_numbers_are_targets_too(folder: Path, tmp_path: Path) -> None:
    run = lamina.train("spectral-cnn", data=str(folder / "doses.spectra"), epochs=1, directory=tmp_path)
    assert run.task_name == "regression"
    assert list(run.predict(str(folder / "new.spectra"))[0]) == ["target"]
    assert "spectra by class" not in run.directory.report.read_text().casefold()


def test_options_of_images_are_refused(call: Called) -> None:
    words = ("train", "spectral-cnn", "--data", "metals.spectra", "--target", "metal")
    status, _, err = call(*words, "--flip")
    assert (status, err) == (2, "lamina: flip is for images, but the data are spectra\n")
    status, _, err = call("train", "lenet5", *words[2:])
    assert (status, err) == (2, "lamina: lenet5 takes image data, but 'metals.spectra' is spectrum data\n")
    status, _, err = call("train", "spectral-cnn", "--data", "new.spectra")
    assert status == 2
    assert err.startswith(
        "lamina: spectral-cnn can be trained for classification or regression, but 'new.spectra' has "
    )
    status, _, err = call("train", "spectral-cnn", "--data", "digits")
    assert (status, err) == (2, "lamina: spectral-cnn takes spectrum data, but 'digits' is image data\n")


@pytest.mark.parametrize("name", checks(backend="eager", onnx=True))
def test_the_model_passes_conformance(name: str) -> None:
    check = checks(backend="eager", onnx=True)[name]
    others = {"image interface", "padding", "stepping", "select", "wrong tokens", "channels last", "odd sizes"}
    if name in others | {"windows", "no future"}:
        with pytest.raises(NotApplicableError):
            check("spectral-cnn")
    else:
        check("spectral-cnn")


def test_without_its_package_a_run_says_what_is_missing(run: lamina.Run, uninstalled: None, call: Called) -> None:
    missing = (
        f"{run.path} needs the model 'spectral-cnn' and the modality 'spectrum', which no installed package has "
        "(it was trained with spectra)"
    )
    with pytest.raises(RunError) as raised:
        lamina.open_run(run.path)
    assert str(raised.value) == missing
    with pytest.raises(RunError) as raised:
        lamina.train(name=run.directory.name, directory=run.path.parent, resume=True)
    assert str(raised.value) == missing
    for words in (("evaluate",), ("predict", "new.spectra"), ("info",), ("export", "--to", "onnx")):
        verb, *rest = words
        status, _, err = call(verb, str(run.path), *rest)
        assert (status, err) == (1, f"lamina: {missing}\n")
    with pytest.raises(lamina.ExportError, match=r"onnx: the preprocess is for spectrum data, which no installed"):
        lamina.open_exported(run.export("onnx").path)
