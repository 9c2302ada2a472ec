"""Texts to tokens and back: characters, words, byte pairs, in the ecosystem's one file format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from lamina.data.tabular.columns import shown
from lamina.errors import RunError, UsageError

TokenKind = Literal["character", "word", "bpe"]

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
MOST_CHARACTERS, MOST_WORDS, MOST_BYTE_PAIRS = 0x110000, 20_000, 8_000
WORD = r"\d+(?:[.,]\d+)+|\w+(?:['’\-]\w+)*|[^\w\s]"
"""a number or a word with what is inside it (1,000.5, don't, well-known), or one other mark"""
UNSPACED = r" (?=[.,;:!?)\]}%…])|(?<=[(\[{]) "
"""the spaces that are not written before and after marks"""
CONTINUED = frozenset(map(chr, (*range(0xA1, 0xAD), *range(0xAE, 0xC0), *range(0x100 + 34, 0x100 + 68))))
"""the bytes 0x80 to 0xBF, which begin no character of UTF-8, as byte-level tokens write them"""
LINES = 10_000
"""lines handed over at once"""


class TextCode:
    """A tokenizer with what it means: its special tokens, and how much text each token stands for.

    Newlines are tokens of their own of characters and byte pairs, and ``<eos>`` of words in a language model; so a text
    may be encoded line by line. Words of other tasks are letters and digits with apostrophes and hyphens inside, every
    other mark is one, too; a language model's words stand between white space. Special tokens written out in a text are
    ordinary text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # "<bos>" in a user's text begins nothing
        self._tokenizer = tokenizer
        decoder = json.loads(tokenizer.to_str())["decoder"]
        kinds: dict[str, TokenKind] = {"Fuse": "character", "Sequence": "word", "ByteLevel": "bpe"}
        self.kind: TokenKind = kinds[decoder["type"]]
        self.size: int = tokenizer.get_vocab_size()
        """different tokens"""
        self.pad, self.unknown, self.begin, self.end = map(tokenizer.token_to_id, (PAD, UNKNOWN, BEGIN, END))
        """ids of the special tokens; None for those it does not have"""
        # a language model's <eos> is the end of a line, and written
        self._silent = () if self.pad is None else (self.pad, self.begin, self.end)

    @property
    def no_text(self) -> tuple[int, ...]:
        """Tokens that stand for no text, and are not to be generated: ``<pad>``, ``<unk>``, ``<bos>``."""
        return tuple(token for token in (self.pad, self.unknown, self.begin) if token is not None)

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        kind: TokenKind,
        task: str,
        *,
        vocabulary: int | None = None,
        lowercase: bool = False,
    ) -> TextCode:
        """A tokenizer for these texts with at most ``vocabulary`` tokens, special ones among them.

        Language models know ``<unk>`` (byte pairs need none) and, of words, ``<eos>``, the end of a line; other tasks
        ``<pad>`` (0) and ``<unk>``; translation also ``<bos>`` and ``<eos>``. Raises UsageError for a vocabulary that
        has no room for more than those.
        """
        special = _specials(kind, task)
        tokenizer = _empty(kind, task, lowercase)
        most = vocabulary or {"character": MOST_CHARACTERS, "word": MOST_WORDS, "bpe": MOST_BYTE_PAIRS}[kind]
        least = len(special) + (256 if kind == "bpe" else 1)
        if most < least:
            raise UsageError(f"a vocabulary of tokenizer '{kind}' has at least {least} tokens, got {most}")
        added = [AddedToken(token, special=True) for token in special]
        if kind == "bpe":
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            pairs = trainers.BpeTrainer(
                vocab_size=most, special_tokens=added, initial_alphabet=alphabet, show_progress=False
            )
            tokenizer.train_from_iterator(_pieces(texts), pairs)
            return cls(tokenizer)
        # the special tokens may stand in the text: they are left out, and so many more are looked for
        words = trainers.WordLevelTrainer(vocab_size=most + len(special), show_progress=False)
        tokenizer.train_from_iterator(_pieces(texts), words)
        counted = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        kept = [token for token, _ in counted if token not in special][: most - len(special)]
        if kind == "character":
            kept.sort()
        vocab = {token: index for index, token in enumerate((*special, *kept))}
        tokenizer.model = models.WordLevel(vocab, unk_token=UNKNOWN)
        tokenizer.add_special_tokens(added)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; what it does not know is ``unknown``."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_running(self, text: str) -> Tensor:
        """The tokens (N,) int32 of a running text."""
        lines = list(_pieces([text]))
        parts = []
        for start in range(0, len(lines), LINES):
            rows = self.encode_batch(lines[start : start + LINES])
            parts.append(np.fromiter((token for row in rows for token in row), dtype=np.int32))
        return torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, dtype=torch.int32)

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of these tokens, without ``<pad>``, ``<bos>`` and the ``<eos>`` of a translation."""
        tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        text: str = self._tokenizer.decode(
            [token for token in tokens if token not in self._silent], skip_special_tokens=False
        )
        return text

    def token(self, index: int) -> str:
        """A token as the vocabulary writes it. Raises UsageError for one that it does not have."""
        token = self._tokenizer.id_to_token(index)
        if token is None:
            raise UsageError(f"there is no token {index}: the vocabulary has {self.size}")
        return str(token)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For each token of ``encode(text)`` the characters of the text that it stands for: from, and up to."""
        found: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return found

    def expect_known(self, text: str) -> None:
        """Raise UsageError naming the first character that a tokenizer of characters does not know."""
        if self.kind != "character":
            return
        found = self._tokenizer.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token == self.unknown:
                raise UsageError(f"the model does not know the character {shown(text[start:end])}: it was in no text")

    @cached_property
    def characters_V(self) -> Tensor:  # noqa: N802
        """Characters of text that each token stands for, (V,) float32: of a word its letters and what parts it from the
        next, of byte pairs the bytes that begin a character. ``<eos>`` adds nothing: after the last word of a line the
        newline is counted."""
        tokens = [self.token(index) for index in range(self.size)]
        if self.kind == "character":
            counts = [1] * self.size
        elif self.kind == "word":
            counts = [len(token) + 1 for token in tokens]
        else:
            counts = [sum(char not in CONTINUED for char in token) for token in tokens]
        for index in (self.pad, self.begin, self.end):
            if index is not None:
                counts[index] = 0
        return torch.tensor(counts, dtype=torch.float32)

    def to_json(self) -> str:
        """The contents of a ``tokenizer.json``."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_json(cls, text: str) -> TextCode:
        """What ``to_json`` gave. Raises RunError for anything else."""
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # the library raises bare exceptions
            raise RunError(
                f"tokenizer.json is damaged, or of another program: {' '.join(str(error).split())}"
            ) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextCode) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())


def _specials(kind: TokenKind, task: str) -> tuple[str, ...]:
    if task == "translation":
        return PAD, UNKNOWN, BEGIN, END
    if task != "language-modelling":
        return PAD, UNKNOWN
    return {"character": (UNKNOWN,), "word": (UNKNOWN, END), "bpe": ()}[kind]


def _empty(kind: TokenKind, task: str, lowercase: bool) -> Tokenizer:
    """A tokenizer without a vocabulary."""
    steps: list[Any] = [normalizers.Lowercase()] if lowercase else []
    if kind == "character":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
    elif kind == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        spaced = decoders.WordPiece("\n", cleanup=False)  # a space before each token: none begins with a newline
        if task == "language-modelling":
            steps.append(normalizers.Replace("\n", f" {END} "))
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            written = decoders.Replace(Regex(f" ?{END} ?"), "\n")
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
            written = decoders.Replace(Regex(UNSPACED), "")
        tokenizer.decoder = decoders.Sequence([spaced, decoders.Fuse(), written])
    else:
        tokenizer = Tokenizer(models.BPE())
        lines = pre_tokenizers.Split("\n", "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tokenizer.decoder = decoders.ByteLevel()
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The lines of the texts, each with its end."""
    for text in texts:
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            yield text[start:end]
            start = end
