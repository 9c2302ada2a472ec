"""Tokenizers from elsewhere: read as they are, nothing lost, and refused in one line where something would be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

import text_tokenizers as made
from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.text.brought import read_tokenizer, tokenizer_at
from lamina.data.text.tokenizing import TextCode
from lamina.errors import DataError, UsageError

Refused = Callable[..., Any]
KINDS: dict[str, Callable[[], Tokenizer]] = {
    "bytes": made.byte_pairs,
    "pieces": made.word_pieces,
    "unigram": made.unigram,
    "no unknown": made.without_unknown,
}


def saved(tokenizer: Tokenizer, path: Path) -> Path:
    tokenizer.save(str(path))
    return path


def code_at(where: Path) -> TextCode:
    return TextCode(read_tokenizer(tokenizer_at(where)))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_library_and_characters_those_of_the_text(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]()
    code = code_at(saved(tokenizer, tmp_path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text in (made.TEXT, "the  mat .\n\n\nthe hill", made.TEXTS[2]):
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        assert code.encode(text) == wanted
        assert code.encode_running(text).tolist() == wanted
        assert int(code.characters(text).sum()) == len(text)
        assert len(code.characters(text)) == len(wanted)
    assert "cat sat on the" in code.decode(code.encode("the cat sat on the mat ."))
    again = TextCode.from_json(code.to_json())
    assert (again.encode(made.TEXT), again.digest, again.own) == (code.encode(made.TEXT), code.digest, False)


def test_byte_pairs_in_two_files_are_the_same_as_in_one(tmp_path: Path) -> None:
    tokenizer = made.byte_pairs()
    one, two = saved(tokenizer, tmp_path / "tokenizer.json"), made.two_files(tokenizer, tmp_path / "two")
    codes = [code_at(place) for place in (one, tmp_path, two, two / "vocab.json", two / "merges.txt")]
    text = "a new\n\n text<|endoftext|>with  spaces\n"
    assert len({(tuple(code.encode(text)), code.digest, code.stop, code.no_text) for code in codes}) == 1
    code = codes[2]
    assert code.stop in code.encode(text), "what separates documents is one token"
    assert code.decode(code.encode(text)) == text.replace("<|endoftext|>", "")
    (two / "added_tokens.json").write_text(json.dumps({"<|pad|>": code.size}))
    more = code_at(two)
    assert (more.size, more.pad, more.no_text) == (code.size + 1, code.size, (code.size,))
    (two / "added_tokens.json").write_text(json.dumps({"<|pad|>": code.size + 3}))
    with pytest.raises(DataError, match="its place is"):
        code_at(two)


def test_special_tokens_are_found_by_their_names() -> None:
    def parts(tokenizer: Tokenizer) -> list[str | None]:
        code = TextCode(tokenizer)
        ids = (code.pad, code.unknown, code.begin, code.end)
        return [None if index is None else code.token(index) for index in ids]

    assert parts(made.word_pieces()) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert parts(made.unigram()) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert parts(made.byte_pairs()) == [None, None, "<|endoftext|>", "<|endoftext|>"]


@settings(max_examples=60)
@given(text=st.text(st.sampled_from("the cat naïve 東京 ß\nzZ日\t"), max_size=30))
def test_nothing_is_left_out_unsaid(text: str) -> None:
    code = TextCode(read_tokenizer_of(made.without_unknown()))
    if set(text) & set("zZ日"):
        with pytest.raises(UsageError, match=r"leave out the character '[zZ日]'"):
            code.expect_whole([text])
        return
    code.expect_whole([text])
    assert "".join(code.decode(code.encode(text)).split()) == "".join(text.split())


def read_tokenizer_of(tokenizer: Tokenizer) -> Tokenizer:
    content = json.loads(tokenizer.to_str())
    content["decoder"] = {"type": "WordPiece", "prefix": "\n", "cleanup": False}
    return Tokenizer.from_str(json.dumps(content))


def fitted(tmp_path: Path, tokenizer: str, text: str = made.TEXT, **options: Any) -> Any:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    given = DataOptions(tokenizer=tokenizer, **options)
    return fit_preprocess(open_source(str(tmp_path / "text.txt"), options=given), Needs(options=given))


def test_a_preprocess_with_a_given_tokenizer(tmp_path: Path, refused: Refused) -> None:
    path = saved(made.word_pieces(), tmp_path / "pieces.json")
    preprocess = fitted(tmp_path, str(path), lowercase=True, vocabulary=500)
    assert preprocess.model_options() == {"vocab_size": made.word_pieces().get_vocab_size()}
    again = load_preprocess(preprocess.files())
    assert again.encode_input("The CAT")["tokens"].tolist() == preprocess.encode_input("the cat")["tokens"].tolist()
    with refused(UsageError, "--vocabulary 50 ", "is used as it is"):
        fitted(tmp_path, str(path), vocabulary=50)
    with refused(UsageError, "--lowercase", "keeps capital letters"):
        fitted(tmp_path, str(saved(made.byte_pairs(), tmp_path / "b.json")), lowercase=True)
    with refused(UsageError, "'Z'", "no unknown token"):
        fitted(tmp_path, str(saved(made.without_unknown(), tmp_path / "n.json"))).encode_input("the Z")
    source = open_source(str(tmp_path / "text.txt"))
    with refused(DataError, "'Z'", "no unknown token"):
        lossy = fitted(tmp_path, str(tmp_path / "n.json"))
        lossy.encode(type(source.splits["train"])("the Zoo"))


def test_a_translation_needs_a_beginning_and_an_end(tmp_path: Path, refused: Refused) -> None:
    def pairs(tokenizer: Tokenizer) -> Any:
        options = DataOptions(tokenizer=str(saved(tokenizer, tmp_path / "t.json")))
        return fit_preprocess(open_source("territories", options=options), Needs(options=options))

    code = pairs(made.byte_pairs()).code
    assert code.begin == code.end == 0
    with refused(UsageError, "no token for a text's beginning", "translation"):
        pairs(made.without_unknown())


def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path: Path, refused: Refused) -> None:
    words = Tokenizer(models.WordLevel({"the": 0, "cat": 1}))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "empty").mkdir()
    two = made.two_files(made.byte_pairs(), tmp_path / "two")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/vocab.json").write_text((two / "vocab.json").read_text())
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/vocab.json").write_text('{"a</w>": 0}')
    (tmp_path / "clip/merges.txt").write_text("")
    for name, content in (("x.json", "{"), ("list.json", "[1]"), ("model.json", '{"model": {}}'), ("x.model", "s")):
        (tmp_path / name).write_text(content)
    saved(words, tmp_path / "words.json")
    for where, kind, says in (
        ("charcter", UsageError, "did you mean 'character'?"),
        (tmp_path / "none.json", UsageError, "no such file"),
        (tmp_path / "empty", UsageError, "has no tokenizer.json"),
        (tmp_path / "alone/vocab.json", UsageError, "needs its merges.txt"),
        (tmp_path / "clip", UsageError, "give its tokenizer.json"),
        (tmp_path / "x.json", DataError, "is damaged"),
        (tmp_path / "list.json", DataError, "is not a tokenizer"),
        (tmp_path / "model.json", DataError, "is damaged, or not a tokenizer"),
        (tmp_path / "x.model", UsageError, "expected a tokenizer.json"),
    ):
        with refused(kind, says):
            fitted(tmp_path, str(where))
    with refused(UsageError, "no unknown token"):
        fitted(tmp_path, str(tmp_path / "words.json")).encode_input("the dog")
