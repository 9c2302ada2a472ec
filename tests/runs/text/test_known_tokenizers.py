"""Weights are used with the tokenizer that they were trained with, or it is refused, or the doubt is said; and bits
per character are those of the text."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lamina
import text_tokenizers as made
from lamina.errors import UsageError
from lamina.runs.run import Run

SIZES = {"layers": 1, "width": 8, "heads": 2, "context": 12}
SHORT: dict[str, Any] = {"steps": 2, "batch_size": 4, "report": False, "validation": 0.2, "test": 0.2}


def options(folder: Path, text: str = made.TEXT, **more: Any) -> dict[str, Any]:
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return {"data": str(folder / "text.txt"), "model": SIZES, **SHORT, "report": None, **more}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with byte pairs of its own."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "text.txt").write_text(made.TEXT, encoding="utf-8")
    return lamina.train(
        "transformer-lm", data=str(folder / "text.txt"), tokenizer="bpe", vocabulary=270, model_options=SIZES,
        directory=folder, name="first", **SHORT,
    )  # fmt: skip


BACKWARDS = made.TEXT[::-1]


def test_other_text_is_read_with_the_tokenizer_of_the_weights(first: Run, tmp_path: Path) -> None:
    for weights, kind in ((first.path, "auto"), (first.path / "model.safetensors", "bpe")):
        given = options(tmp_path, BACKWARDS, weights=str(weights), vocabulary=270, tokenizer=kind)
        training = lamina.prepare("transformer-lm", given, dry=True)
        assert training.parts.preprocess.vocabulary == first.preprocess.vocabulary  # type: ignore[attr-defined]
        assert f"tokenizer: that of {first.path}" in training.notes


def test_another_tokenizer_of_equal_size_is_refused(first: Run, tmp_path: Path) -> None:
    copy = shutil.copy(first.path / "model.safetensors", tmp_path / "copy.safetensors")
    torch.save(load_file(copy), tmp_path / "bare.pth")
    made.byte_pairs(270).save(str(tmp_path / "other.json"))
    for weights, kind in ((first.path, "word"), (copy, "bpe"), *((one, "other.json") for one in (first.path, copy))):
        tokenizer = str(tmp_path / kind) if kind.endswith("json") else kind
        given = options(tmp_path, BACKWARDS, weights=str(weights), tokenizer=tokenizer, vocabulary=270)
        with pytest.raises(UsageError, match=r"trained with (another|the) tokenizer"):
            lamina.prepare("transformer-lm", given, dry=True)
        (tmp_path / "t.json").write_text(first.preprocess.code.to_json())  # type: ignore[attr-defined]
        given |= {"tokenizer": str(tmp_path / "t.json")}
        assert not any("does not say" in note for note in lamina.prepare("transformer-lm", given, dry=True).notes)
    given = options(tmp_path, BACKWARDS, weights=str(tmp_path / "bare.pth"), tokenizer="bpe", vocabulary=270)
    notes = lamina.prepare("transformer-lm", given, dry=True).notes
    assert any("does not say which tokenizer it was trained with" in note for note in notes), notes


def test_the_file_of_weights_is_the_same_each_time(first: Run, tmp_path: Path) -> None:
    from lamina.runs.weights import save_weights

    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        save_weights(first.model, file, "a hash")
    assert len({file.read_bytes() for file in files}) == 1
    assert torch.equal(load_file(files[0])["tokens.weight"], first.model.state_dict()["tokens.weight"])


@pytest.mark.parametrize("model", ["transformer-lm", "lstm-lm-small"])
@pytest.mark.parametrize("tokenizer", ["word", "pieces.json", "unigram.json"])
def test_bits_per_character_are_those_of_the_text(model: str, tokenizer: str, tmp_path: Path) -> None:
    made.word_pieces().save(str(tmp_path / "pieces.json"))
    made.unigram().save(str(tmp_path / "unigram.json"))
    (tmp_path / "text.txt").write_text(made.TEXT * 3, encoding="utf-8")
    given: dict[str, Any] = {"tokenizer": tokenizer, "vocabulary": 6} if tokenizer == "word" else {}
    run = lamina.train(
        model, data=str(tmp_path / "text.txt"), model_options=SIZES if model == "transformer-lm" else {},
        directory=tmp_path, **SHORT, **({"tokenizer": str(tmp_path / tokenizer)} | given),
    )  # fmt: skip
    text = "the incomprehensibility of it all  is wide\n" * 20
    (tmp_path / "new.txt").write_text(text)
    found = run.evaluate(data=str(tmp_path / "new.txt"))
    tokens = run.preprocess.code.encode(text)  # type: ignore[attr-defined]
    spans = run.preprocess.code.spans(text)  # type: ignore[attr-defined]
    characters = len(text) - spans[1][0]  # the first token is not predicted
    assert characters > 800
    bits = found["loss"] * (len(tokens) - 1) / math.log(2)
    assert found["bits_per_character"] == pytest.approx(bits / characters, rel=1e-6)
