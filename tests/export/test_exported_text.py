"""Models of tokens as files: batches and lengths that tracing never saw, declared as dynamic; runs on texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina import registry
from lamina.cli.main import main
from lamina.errors import ExportError, UsageError
from lamina.export.example import signature_of
from lamina.export.facts import ExportFacts
from lamina.export.inputs import TRACED, TRIED, example_of
from lamina.export.openvino import write_openvino
from lamina.export.writing import write_export
from lamina.runs.run import Run

ONE_LAYER = {"layers": 1}
MODELS: dict[str, dict[str, Any]] = {
    "lstm-classifier": {"bidirectional": True},
    "gru-lm": {"num_layers": 1},
    "seq2seq-attention": {},
    "transformer-small": ONE_LAYER,
    "transformer-lm": ONE_LAYER,
    "transformer-classifier": ONE_LAYER,
}


def small(name: str, **options: Any) -> tuple[nn.Module, ExportFacts]:
    row = registry.variant(name)
    config = registry.configure(row, {**row.small, **options})
    torch.manual_seed(0)
    model = registry.build(row, config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model, ExportFacts(model=name, inputs=signature_of(row, config))


@pytest.fixture(scope="module")
def onnx_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The ONNX file of a small model, written once."""

    @cache
    def file(name: str) -> Path:
        model, facts = small(name, **MODELS[name])
        return write_export(model, facts, "onnx", tmp_path_factory.mktemp("onnx") / "m.onnx").path

    return file


@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_agrees_at_batches_and_lengths_never_seen(
    engines: None, name: str, onnx_of: Callable[[str], Path]
) -> None:
    import onnxruntime

    model, facts = small(name, **MODELS[name])
    session = onnxruntime.InferenceSession(str(onnx_of(name)), providers=["CPUExecutionProvider"])
    declared = {given.name: given.shape for given in session.get_inputs()}
    wanted = {"tokens": ["batch", "time"], "lengths": ["batch"]}
    if any(one.name == "source" for one in facts.inputs):
        wanted |= {"source": ["batch", "source_time"], "source_lengths": ["batch"]}
    assert declared == wanted
    logits = session.get_outputs()[0].shape
    assert logits[0] == "batch"
    assert name.endswith("classifier") or logits[1:] == ["time", facts.inputs[0].below]
    for sizes in ((4, 12, 3), (1, 2, 9), (7, 5, 2)):
        assert sizes not in (TRACED, *TRIED)
        tokens, lengths, *more = given = example_of(facts, sizes, torch.Generator().manual_seed(3))
        with torch.no_grad():
            said = model(tokens, lengths=lengths, **dict(zip(("source", "source_lengths"), more, strict=False)))
        logits_of_model = said if isinstance(said, torch.Tensor) else said[0]
        (got,) = session.run(["logits"], {key: part.numpy() for key, part in zip(wanted, given, strict=True)})
        np.testing.assert_allclose(got, logits_of_model, rtol=0, atol=1e-5 * float(logits_of_model.abs().max()))


def test_torch_programs_take_any_batch_and_length_up_to_the_context(plain: Path) -> None:
    model, facts = small("transformer-lm", layers=1)
    assert (facts.inputs[0].below, facts.inputs[0].longest) == (31, 12)
    program = torch.export.load(write_export(model, facts, "torch", plain / "m.pt2").path).module()
    for sizes in ((4, 12, 0), (1, 2, 0)):
        tokens, lengths = example_of(facts, sizes, torch.Generator().manual_seed(3))
        torch.testing.assert_close(program(tokens, lengths), model(tokens, lengths=lengths)[0], rtol=0, atol=1e-5)


def test_the_verb_prints_the_inputs_of_the_file(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(plain)
    assert main(["export", "gru-classifier", "--to", "torch"]) == 0
    said = capsys.readouterr().out
    assert "tokens, int64, batch x time\n" in said
    assert "lengths, int64, batch\n" in said
    assert [file.name for file in plain.iterdir()] == ["gru-classifier.pt2"]


def test_a_decoder_that_openvino_does_not_read_is_refused_in_one_line(
    engines: None, plain: Path, onnx_of: Callable[[str], Path]
) -> None:
    with pytest.raises(ExportError, match=r"^seq2seq-attention cannot be exported to OpenVINO: ") as refused:
        write_openvino(onnx_of("seq2seq-attention"), small("seq2seq-attention")[1], plain / "m.xml")
    assert "\n" not in str(refused.value)
    assert not list(plain.iterdir())


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A classifier of short texts, hardly trained."""
    folder = tmp_path_factory.mktemp("moods")
    pairs = [("a fine warm day", "glad"), ("what a cold wet night", "sad"), ("fine", "glad"), ("cold and dark", "sad")]
    lines = [f'"{text}",{mood}' for text, mood in pairs * 12]
    (folder / "moods.csv").write_text("\n".join(["text,mood", *lines]) + "\n", encoding="utf-8")
    return lamina.train(
        "transformer-classifier",
        data=str(folder / "moods.csv"),
        target="mood",
        text="text",
        batch_size=8,
        epochs=2,
        directory=folder / "runs",
        report=False,
        model_options={"layers": 1, "width": 16, "context": 32},
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_run_on_texts_predicts_the_same_in_every_engine(engines: None, moods: Run, engine: str) -> None:
    texts = ["a cold day", "fine and warm", "night"]
    for got, wanted in zip(moods.predict(texts, engine=engine), moods.predict(texts), strict=True):
        assert got["class"] == wanted["class"]
        assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_the_file_of_a_run_holds_its_tokenizer(engines: None, moods: Run, plain: Path) -> None:
    import onnx

    done = moods.export("onnx", plain / "moods.onnx")
    known = {entry.key: json.loads(entry.value) for entry in onnx.load(done.path).metadata_props}
    tokens, lengths = known["inputs"]
    assert (tokens["name"], lengths["name"], lengths["lengths_of"]) == ("tokens", "lengths", tokens["shape"][0])
    assert (tokens["below"], tokens["longest"]) == (moods.model.config.vocab_size, 32)  # type: ignore[union-attr]
    assert known["tokenizer"]["model"]
    (got,) = lamina.open_exported(done.path).predict("cold and dark")
    (wanted,) = moods.predict("cold and dark")
    assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_the_lines_of_a_file_are_texts_in_every_engine(
    engines: None, moods: Run, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of a file is no text, and a blank line keeps its row."""
    file, lines = plain / "new.txt", ["", "cold and dark", "", "fine"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = [moods.predict(line)[0]["class"] if line else None for line in lines]
    exported = str(moods.export("onnx", plain / "moods.onnx").path)
    for given in (
        [str(moods.path), str(file)],
        [str(moods.path), str(file), "--engine", "onnxruntime"],
        [exported, str(file)],
    ):
        capsys.readouterr()
        assert main(["predict", *given, "--json"]) == 0
        assert [one["class"] for one in json.loads(capsys.readouterr().out)] == wanted


def test_a_run_that_writes_texts_is_exported_and_not_predicted_with(engines: None, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("so it goes on and on. " * 60, encoding="utf-8")
    run = lamina.train(
        "rnn-lm",
        data=str(tmp_path / "book.txt"),
        epochs=1,
        batch_size=2,
        directory=tmp_path / "runs",
        report=False,
        model_options={"embedding_dim": 8, "hidden_size": 8},
    )
    done = run.export("torch", tmp_path / "book.pt2")
    tokens, _ = done.facts.inputs
    assert (tokens.below, tokens.longest) == (run.model.config.vocab_size, None)  # type: ignore[union-attr]
    assert done.difference < 1e-5
    with pytest.raises(UsageError, match="has no predict: its task is language-modelling, it has evaluate, generate"):
        run.predict("so it", engine="onnxruntime")
    file = run.export("onnx", tmp_path / "book.onnx").path
    with pytest.raises(UsageError, match="of a model that generates"):
        lamina.open_exported(file)
