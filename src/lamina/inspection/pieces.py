"""Tokens as pieces of the text, and the words that they make up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lamina.data.text.tokenizing import WORD, TextCode


@dataclass(frozen=True)
class Word:
    """A word or punctuation mark of a text."""

    begin: int
    end: int
    """its characters in the text: first, and one past the last"""
    places: tuple[int, ...]
    """the positions of its tokens among the tokens of the text"""


def words_of(text: str, spans: Sequence[tuple[int, int]]) -> list[Word]:
    """The words of a text that have tokens, in order.

    ``spans``: the characters (begin, end) of each token, as ``TextCode.spans`` gives them. A token that begins with
    white space belongs to the word that it ends in.
    """
    found = [(match.start(), match.end(), list[int]()) for match in re.finditer(WORD, text)]
    word = 0
    for place, (_, end) in enumerate(spans):
        while word < len(found) and found[word][1] < end:
            word += 1
        if word < len(found) and found[word][0] < end:
            found[word][2].append(place)
    return [Word(begin, end, tuple(places)) for begin, end, places in found if places]


def pieces_of(code: TextCode, tokens: Sequence[int]) -> list[str]:
    """The piece of text that each token stands for; joined, the pieces are the text.

    Tokens without text of their own (a part of a character, beginning and end of sequence) are given as the vocabulary
    writes them.
    """
    pieces = []
    for place, token in enumerate(tokens):
        if code.kind == "word":  # whether a space stands before it depends on the one before
            before = tokens[max(0, place - 1) : place]
            piece = code.decode([*before, token])[len(code.decode(before)) :]
        else:
            piece = code.decode([token])
        pieces.append(piece or code.token(token))
    return pieces
