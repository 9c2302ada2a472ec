"""Tokens as pieces of text, and words made of tokens."""

from __future__ import annotations

import pytest

from lamina.data.text.tokenizing import TextCode, TokenKind
from lamina.inspection.pieces import pieces_of, words_of

TEXT = "The cat's nap, (well) done.\nNäive 漢字 cats"
WORDS = ["The", "cat's", "nap", ",", "(", "well", ")", "done", ".", "Näive", "漢字", "cats"]


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_the_words_of_a_text(kind: TokenKind) -> None:
    code = TextCode.fit([TEXT] * 3, kind, "classification", vocabulary=280 if kind == "bpe" else None)
    spans, tokens = code.spans(TEXT), code.encode(TEXT)
    assert len(spans) == len(tokens)
    words = words_of(TEXT, spans)
    assert [TEXT[word.begin : word.end] for word in words] == WORDS
    for word in words:
        assert code.decode([tokens[place] for place in word.places]).strip() == TEXT[word.begin : word.end]
    places = [place for word in words for place in word.places]
    assert places == sorted(set(places))
    if kind == "character":
        assert set(range(len(TEXT))) - set(places) == {i for i, sign in enumerate(TEXT) if sign.isspace()}
    assert words_of("  \n", code.spans("  \n")) == []


def test_a_text_that_was_cut_has_the_words_that_are_left() -> None:
    code = TextCode.fit([TEXT], "word", "classification")
    assert [TEXT[word.begin : word.end] for word in words_of(TEXT, code.spans(TEXT)[:3])] == WORDS[:3]


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_the_pieces_are_the_text(kind: TokenKind) -> None:
    code = TextCode.fit([TEXT] * 3, kind, "classification", vocabulary=280 if kind == "bpe" else None)
    tokens = code.encode("The cats, (well).")
    assert "".join(pieces_of(code, tokens)) == "The cats, (well)."


def test_the_pieces_of_what_is_silent_or_a_line_end() -> None:
    code = TextCode.fit([TEXT], "word", "language-modelling")
    assert pieces_of(code, code.encode("The cats\nThe")) == ["The", " cats", "\n", "The"]
    code = TextCode.fit([TEXT], "word", "translation")
    assert code.begin is not None
    assert code.end is not None
    assert pieces_of(code, [code.begin, *code.encode("The cats."), code.end]) == ["<bos>", "The", " cats", ".", "<eos>"]
