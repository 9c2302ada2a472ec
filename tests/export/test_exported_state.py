"""Models that generate text, exported with their state: the tokens that torch gives, in every engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import lamina
from lamina import registry
from lamina.cli.main import main
from lamina.decoding import beam_search, generate, stream
from lamina.errors import ExportError, UsageError
from lamina.export.example import signature_of
from lamina.export.facts import ExportFacts
from lamina.export.options import ExportOptions
from lamina.export.stateful import StatefulModel
from lamina.export.writing import open_engine, open_stateful, write_export
from lamina.runs.run import Run

pytestmark = pytest.mark.usefixtures("engines")
STATEFUL = ExportOptions(with_state=True)
SUFFIX = {"onnxruntime": ".onnx", "openvino": ".xml"}
"""of the file that a run keeps for an engine"""


def sharp(name: str, **options: object) -> tuple[nn.Module, ExportFacts]:
    """A small model whose tokens are decided, and depend on the whole past."""
    row = registry.variant(name)
    config = registry.configure(row, {**row.small, **options})
    torch.manual_seed(0)
    model = registry.build(row, config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
    return model, ExportFacts(model=name, inputs=signature_of(row, config))


MODELS: dict[str, dict[str, object]] = {
    "gpt2": {"layers": 2},
    "lstm-lm-small": {"num_layers": 1},
    "seq2seq-attention": {},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[nn.Module, Path]]:
    """A small model and its ONNX file, which both engines open; written once."""

    @cache
    def export(name: str) -> tuple[nn.Module, Path]:
        model, facts = sharp(name, **MODELS[name])
        done = write_export(model, facts, "onnx", tmp_path_factory.mktemp(name) / "m.onnx", STATEFUL)
        assert done.difference < 1e-4
        return model, done.path

    return export


def in_engine(path: Path, engine: str) -> StatefulModel:
    return open_stateful(open_engine(path, engine), path, engine)


Written = Callable[[str], tuple[nn.Module, Path]]


@pytest.mark.parametrize("engine", SUFFIX)
@pytest.mark.parametrize("name", ["gpt2", "lstm-lm-small"])
def test_language_models_write_the_tokens_of_torch(written: Written, name: str, engine: str) -> None:
    model, path = written(name)
    exported = in_engine(path, engine)
    prompts = [[1, 5, 2], [7], [3, 3, 3, 9]]  # of several lengths: padded in the first step
    for how in ({"greedy": True}, {"seed": 3}, {"seed": 4, "top_k": 3, "temperature": 0.7}, {"greedy": True, "end": 5}):
        wanted = generate(model, prompts, max_new_tokens=7, **how)  # type: ignore[arg-type]
        assert generate(exported, prompts, max_new_tokens=7, **how) == wanted, how  # type: ignore[arg-type]
    if name == "gpt2":
        with pytest.raises(UsageError, match="exceeds the context of 12"):
            generate(exported, [[1] * 8], max_new_tokens=7)
        state = exported(torch.tensor([[1, 2]]), exported.init_state(1, 3))[1]
        with pytest.raises(ValueError, match="the state has 3 slots, 2 are filled, 2 more tokens do not fit"):
            exported(torch.tensor([[1, 2]]), state)


def test_two_generations_at_once_do_not_disturb_each_other(written: Written) -> None:
    model, path = written("gpt2")
    exported = in_engine(path, "openvino")
    wanted = [generate(model, [prompt], max_new_tokens=6, greedy=True)[0] for prompt in ([1, 2], [9, 4, 4])]
    both = [stream(exported, [prompt], max_new_tokens=6, greedy=True) for prompt in ([1, 2], [9, 4, 4])]
    found: list[list[int]] = [[], []]
    for steps in zip(*both, strict=True):
        for tokens, ((_, token),) in zip(found, steps, strict=True):
            tokens.append(token)
    assert found == wanted


@pytest.mark.parametrize("engine", SUFFIX)
def test_translators_decode_as_torch_does(written: Written, engine: str) -> None:
    """OpenVINO has no loop for a decoder with attention: one step needs none."""
    model, path = written("seq2seq-attention")
    exported = in_engine(path, engine)
    source = torch.tensor([[3, 4, 5, 6, 1], [9, 2, 2, 0, 0]])
    lengths = torch.tensor([5, 3])
    with torch.no_grad():
        memories = [each.encode(source, lengths) for each in (model, exported)]  # type: ignore[operator]
    found = [
        beam_search(each, [[1], [1]], beams=3, max_new_tokens=6, end=0, memory=memory)
        for each, memory in zip((model, exported), memories, strict=True)
    ]
    assert [[one.tokens for one in best] for best in found[1]] == [[one.tokens for one in best] for best in found[0]]
    for best, wanted in zip(found[1], found[0], strict=True):
        assert [one.score for one in best] == pytest.approx([one.score for one in wanted], abs=1e-4)


def test_an_encoder_that_is_missing_or_of_other_weights_is_named(written: Written, plain: Path) -> None:
    import onnx

    for file in written("seq2seq-attention")[1].parent.iterdir():
        shutil.copy(file, plain)
    path, beside = plain / "m.onnx", plain / "m.encoder.onnx"
    encoder = onnx.load(str(beside))
    (entry,) = [entry for entry in encoder.metadata_props if entry.key == "weights"]
    entry.value = json.dumps("of another run")
    onnx.save(encoder, str(beside))
    with pytest.raises(ExportError, match=r"m\.onnx and m\.encoder\.onnx are of different weights"):
        in_engine(path, "onnxruntime")
    beside.unlink()
    with pytest.raises(ExportError, match=r"m\.onnx is incomplete: its encoder, m\.encoder\.onnx, is not beside it"):
        in_engine(path, "onnxruntime")


def test_a_state_that_goes_wrong_later_is_noticed(plain: Path) -> None:
    class Forgets(nn.Module):
        """Where torch.export looks its state does not advance: the first step is right, the next ones are not."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            self.init_state = model.init_state

        def forward(self, tokens: torch.Tensor, state: object, lengths: torch.Tensor) -> object:
            logits, after = self.model(tokens, state, lengths)
            return (
                (logits, after._replace(filled_B=0 * after.filled_B))
                if torch.compiler.is_exporting()
                else (logits, after)
            )

    model, facts = sharp("gpt2", layers=1)
    with pytest.raises(ExportError, match=r"m\.pt2 is not written: for a batch of 1 its outputs differ"):
        write_export(Forgets(model), facts, "torch", plain / "m.pt2", STATEFUL)
    assert not list(plain.iterdir())


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.txt").write_text("so it goes on and on, and never ends. " * 40, encoding="utf-8")
    return lamina.train(
        "transformer-lm",
        data=str(folder / "book.txt"),
        epochs=2,
        batch_size=4,
        directory=folder / "runs",
        report=False,
        model_options={"layers": 1, "width": 16, "heads": 2, "context": 24},
    )


def test_a_run_generates_in_other_engines(book: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the context, too, where it goes on from the last half of it."""
    for options in ({"greedy": True}, {"seed": 5, "top_p": 0.9}):
        wanted = book.generate("so it ", max_new_tokens=40, **options)  # type: ignore[arg-type]
        for engine in SUFFIX:
            assert book.generate("so it ", max_new_tokens=40, engine=engine, **options) == wanted  # type: ignore[arg-type]
    file = book.path / "exports" / "transformer-lm-state.onnx"
    written = file.stat().st_mtime_ns
    words = ["--prompt", "so it ", "--max-new-tokens", "12", "--greedy", "--json"]
    texts = []
    for given in ([book.path], [book.path, "--engine", "onnxruntime"], [file], [file, "--engine", "openvino"]):
        capsys.readouterr()
        assert main(["generate", *map(str, given), *words]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert len(set(texts)) == 1
    assert file.stat().st_mtime_ns == written, "exported again for nothing"


def test_what_does_not_generate_is_refused(
    book: Run, iris: Run, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = book.export("onnx", plain / "whole.onnx").path
    state = book.path / "exports" / "transformer-lm-state.onnx"
    if not state.is_file():
        book.export("onnx", with_state=True)
    for words, message in (
        (["generate", file], "is of a model that generates, without its state: export it with --with-state"),
        (["generate", book.path, "--engine", "openvinno"], "did you mean 'openvino'"),
        (["predict", state, "so"], "has no predict: its task is language-modelling, it has generate"),
        (["export", iris.path, "--to", "onnx", "--with-state"], "with_state is for models that generate text"),
        (["export", book.path, "--to", "onnx", "--int8"], "int8 is for models that predict at once"),
        (["generate", iris.path, "--engine", "openvino"], "has no generate"),
        (["generate", state, "--grid"], "--grid is for pictures and rows"),
    ):
        capsys.readouterr()
        assert main([*map(str, words)]) == 2, words
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_translator_predicts_in_other_engines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [(f"{day} {month}", f"{month} {day}") for day in range(1, 21) for month in ("may", "june", "july")]
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    run = lamina.train(
        "transformer-small",
        data=str(tmp_path / "pairs.tsv"),
        epochs=2,
        batch_size=16,
        directory=tmp_path / "runs",
        report=False,
        model_options={"layers": 1, "width": 16, "heads": 2, "hidden": 32},
    )
    texts = ["3 may", "", "12 july"]
    (tmp_path / "new.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    found = []
    for engine in ("torch", "onnxruntime"):
        capsys.readouterr()
        words = ["predict", str(run.path), str(tmp_path / "new.txt"), "--beam", "2", "--engine", engine, "--json"]
        assert main(words) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["translation"] for one in found[1]] == [one["translation"] for one in found[0]]
    assert found[0][1]["translation"] is None
    assert found[1][0]["log_probability"] == pytest.approx(found[0][0]["log_probability"], abs=1e-3)
