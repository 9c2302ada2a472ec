"""Tokens and back: every kind, every task, nothing lost, the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from lamina.data.text.tokenizing import TextCode
from lamina.errors import RunError, UsageError

ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
PLAIN = st.text(st.sampled_from("ab 'é.\n-ß👍\t"), max_size=40)
CORPUS = [
    "Ein Mann läuft.\nZwei Männer laufen\n",
    "the dog doesn't run, the well-known dog runs\n",
    "so weit, so gut " * 9,
]
BPE = TextCode.fit(CORPUS, "bpe", "translation", vocabulary=300)


def fitted(kind: Any, task: Any = "language-modelling", **options: Any) -> TextCode:
    return TextCode.fit(CORPUS, kind, task, **options)


def test_characters_are_sorted_after_the_special_tokens() -> None:
    code = TextCode.fit(["cab\n", "bé<unk>"], "character", "language-modelling")
    assert [code.token(i) for i in range(code.size)] == ["<unk>", *sorted(set("cab\nbé<unk>"))]
    assert code.encode("<unk>") == [code.encode(char)[0] for char in "<unk>"]
    assert (code.pad, code.unknown, code.begin, code.end) == (None, 0, None, None)
    assert code.encode("aZb") == [code.encode("a")[0], 0, code.encode("b")[0]]


@given(text=ANY)
def test_no_character_is_lost(text: str) -> None:
    code = TextCode.fit([text, "x"], "character", "language-modelling")
    assert len(code.encode(text)) == len(text)
    assert code.decode(code.encode(text)) == text
    assert code.size == len({*text, "x"}) + 1


@given(text=ANY)
def test_byte_pairs_lose_nothing_and_know_everything(text: str) -> None:
    ids = BPE.encode(text)
    assert BPE.decode(ids) == text
    assert BPE.decode([BPE.begin, *ids, BPE.end, BPE.pad]) == text  # type: ignore[list-item]
    assert not {BPE.pad, BPE.unknown, BPE.begin, BPE.end} & set(ids)
    assert int(BPE.characters(text).sum()) == (len(text) if ids else 0)
    assert len(BPE.characters(text)) == len(ids)


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
@settings(max_examples=30)
@given(text=PLAIN)
def test_line_by_line_is_the_same_as_whole(kind: Any, text: str) -> None:
    code = fitted(kind)
    tokens = code.encode_running(text)
    assert tokens.dtype == torch.int32
    assert tokens.tolist() == code.encode(text)


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_special_tokens_of_each_task(kind: Any) -> None:
    for task in ("classification", "multilabel", "regression"):
        code = fitted(kind, task)
        assert (code.pad, code.unknown, code.begin, code.end) == (0, 1, None, None)
    code = fitted(kind, "translation")
    assert (code.pad, code.unknown, code.begin, code.end) == (0, 1, 2, 3)
    code = fitted(kind)
    expected = {"character": (None, 0, None, None), "word": (None, 0, None, 1), "bpe": (None,) * 4}
    assert (code.pad, code.unknown, code.begin, code.end) == expected[kind]


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_special_tokens_written_out_are_ordinary_text(kind: Any) -> None:
    code = TextCode.fit(["<bos> and <eos> and <pad>"], kind, "translation")
    ids = code.encode("<bos> and <eos>")
    assert not {code.pad, code.begin, code.end, code.unknown} & set(ids)
    assert "bos" in code.decode(ids)


def test_words_of_a_language_model_stand_between_spaces() -> None:
    code = TextCode.fit(["the <unk> of n't\n the of\n", "the cat-like"], "word", "language-modelling")
    assert [code.token(i) for i in range(code.size)] == ["<unk>", "<eos>", "the", "of", "cat-like", "n't"]
    assert code.encode(" the  <unk>\nof zzz") == [2, 0, 1, 3, 0]
    assert code.decode([2, 3, 1, 2, 0, 1]) == "the of\nthe <unk>\n"
    assert code.characters("the of\ncat-like n't\n").tolist() == [4, 2, 1, 9, 3, 1]
    assert code.characters("  the unknownword \n\nof").tolist() == [6, 12, 1, 1, 2], "an unknown word's own characters"


def test_words_of_other_tasks_are_apart_from_marks() -> None:
    text = "It doesn't (really) matter, John's well-known 3.5% naïve idea!"
    code = TextCode.fit([text], "word", "classification")
    tokens = [code.token(i) for i in code.encode(text)]
    marked = "It doesn't ( really ) matter , John's well-known 3.5 % naïve idea !"
    assert tokens == marked.split()
    assert code.decode(code.encode(text)) == text
    assert code.decode([code.pad, *code.encode("It  matter"), code.pad]) == "It matter"  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("language-modelling", "<unk> <eos> b a c"),
        ("classification", "<pad> <unk> < > unk"),
        ("translation", "<pad> <unk> <bos> <eos> <"),
    ],
)
def test_a_vocabulary_keeps_the_most_frequent(task: Any, expected: str) -> None:
    texts = ["b b b a a c c d <unk> <unk> <unk> <unk>"]  # equals by letter
    code = TextCode.fit(texts, "word", task, vocabulary=5)
    assert [code.token(i) for i in range(code.size)] == expected.split()


def test_the_size_of_a_vocabulary(refused: Any) -> None:
    assert BPE.size == 300
    assert fitted("word", vocabulary=4).size == 4
    assert fitted("character", vocabulary=4).size == 4
    assert TextCode.fit([f"w{i} " * 2 for i in range(25_000)], "word", "classification").size == 20_000
    with refused(UsageError, "'bpe'", "at least 260", "259"):
        fitted("bpe", "translation", vocabulary=259)
    with refused(UsageError, "'word'", "at least 3", "2"):
        fitted("word", vocabulary=2)


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_lower_case(kind: Any) -> None:
    code = TextCode.fit(["Ein MANN ein mann"], kind, "classification", lowercase=True)
    assert code.encode("EIN Mann") == code.encode("ein mann")
    assert code.unknown not in code.encode("EIN Mann")
    assert code.decode(code.encode("EIN Mann")) == "ein mann"


def test_a_character_that_is_not_known_is_named(refused: Any) -> None:
    code = fitted("character")
    code.expect_known("Mann")
    with refused(UsageError, "'Ж'"):
        code.expect_known("Mann Ж")
    for kind in ("word", "bpe"):
        fitted(kind).expect_known("Ж")


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_the_file_says_everything(kind: Any) -> None:
    code = fitted(kind, "translation", lowercase=True)
    again = TextCode.from_json(json.dumps(json.loads(code.to_json()), indent=1, ensure_ascii=False))
    assert again == code
    assert again.encode("Zwei <bos> Hunde,") == code.encode("Zwei <bos> Hunde,")
    assert (again.kind, again.size, again.pad, again.begin) == (kind, code.size, 0, 2)
    assert again.digest == code.digest
    assert again.own
    plain = Tokenizer.from_str(code.to_json())  # as another program reads it
    assert plain.decode([2, *code.encode("ein mann"), 3]) == "ein mann"


def test_a_file_that_is_no_tokenizer_of_ours(refused: Any) -> None:
    other = Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str()
    for content in ("", "{", "{}", "[]", other, BPE.to_json()[:-30]):
        with refused(RunError, "tokenizer.json"):
            TextCode.from_json(content)


def test_another_process_fits_the_same() -> None:
    code = """
from lamina.data.text.tokenizing import TextCode
texts = [" ".join(chr(97 + i * j % 23) + chr(97 + (i + j) % 19) for j in range(40)) for i in range(200)]
fits = [TextCode.fit(texts, kind, "translation", vocabulary=290).to_json() for kind in ("word", "bpe")]
"""
    here: dict[str, Any] = {}
    exec(code, here)
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    said = "import sys; sys.stdout.buffer.write(chr(10).join(fits).encode())"
    run = subprocess.run([sys.executable, "-c", code + said], env=environment, capture_output=True, check=True)
    assert run.stdout.decode() == "\n".join(here["fits"])


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_a_line_of_a_million_characters(kind: Any) -> None:
    text = "so weit, so gut " * 62_500  # 1,000,000
    code = fitted(kind)
    tokens = code.encode_running(text)
    assert code.decode(tokens) == (text.rstrip() if kind == "word" else text)
