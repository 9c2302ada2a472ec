"""Tokenizers of characters, words and byte pairs, in the file format of the ``tokenizers`` library."""

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
"""a number or word with inner punctuation (1,000.5, don't, well-known), or a punctuation mark"""
UNSPACED = r" (?=[.,;:!?)\]}%…])|(?<=[(\[{]) "
"""spaces to remove before and after punctuation"""
CONTINUED = frozenset(map(chr, (*range(0xA1, 0xAD), *range(0xAE, 0xC0), *range(0x100 + 34, 0x100 + 68))))
"""UTF-8 continuation bytes (0x80 to 0xBF) as written in byte-level tokens"""
LINES = 10_000
"""lines encoded at once"""


class TextCode:
    """A tokenizer with its special tokens, and the number of characters of each token.

    Newlines are separate tokens of characters and byte pairs, and ``<eos>`` for words in a language model; a text can
    therefore be encoded line by line. The words of a language model are separated by white space; those of other tasks
    are letters and digits with inner apostrophes and hyphens, or punctuation marks. Special tokens in a text are
    ordinary text.

    Example: ``TextCode.fit(["a cat", "a dog"], "word", "classification").encode("a cat")``
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # "<bos>" in a text is not a special token
        self._tokenizer = tokenizer
        decoder = json.loads(tokenizer.to_str())["decoder"]
        kinds: dict[str, TokenKind] = {"Fuse": "character", "Sequence": "word", "ByteLevel": "bpe"}
        self.kind: TokenKind = kinds[decoder["type"]]
        self.size: int = tokenizer.get_vocab_size()
        """vocabulary size"""
        self.pad, self.unknown, self.begin, self.end = map(tokenizer.token_to_id, (PAD, UNKNOWN, BEGIN, END))
        """ids of the special tokens, or None"""
        # a language model's <eos> is the end of a line, and decoded
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
        """A tokenizer for the texts with at most ``vocabulary`` tokens, special tokens included.

        Language models have ``<unk>`` (except byte pairs) and for words ``<eos>``, the end of a line; other tasks
        ``<pad>`` (0) and ``<unk>``; translation also ``<bos>`` and ``<eos>``. Raises UsageError for a vocabulary
        without room for other tokens.
        """
        special = _specials(kind, task)
        tokenizer = _empty(kind, task, lowercase)
        size = vocabulary or {"character": MOST_CHARACTERS, "word": MOST_WORDS, "bpe": MOST_BYTE_PAIRS}[kind]
        min_size = len(special) + (256 if kind == "bpe" else 1)
        if size < min_size:
            raise UsageError(f"vocabulary must be at least {min_size} for the tokenizer '{kind}', got {size}")
        added = [AddedToken(token, special=True) for token in special]
        if kind == "bpe":
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            pairs = trainers.BpeTrainer(
                vocab_size=size, special_tokens=added, initial_alphabet=alphabet, show_progress=False
            )
            tokenizer.train_from_iterator(_pieces(texts), pairs)
            return cls(tokenizer)
        # special tokens may occur in the text: they are excluded, so as many more are counted
        words = trainers.WordLevelTrainer(vocab_size=size + len(special), show_progress=False)
        tokenizer.train_from_iterator(_pieces(texts), words)
        counted = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        kept = [token for token, _ in counted if token not in special][: size - len(special)]
        if kind == "character":
            kept.sort()
        vocab = {token: index for index, token in enumerate((*special, *kept))}
        tokenizer.model = models.WordLevel(vocab, unk_token=UNKNOWN)
        tokenizer.add_special_tokens(added)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; unknown ones are ``unknown``."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_running(self, text: str) -> Tensor:
        """The tokens (N,) int32 of running text."""
        lines = list(_pieces([text]))
        parts = []
        for start in range(0, len(lines), LINES):
            rows = self.encode_batch(lines[start : start + LINES])
            parts.append(np.fromiter((token for row in rows for token in row), dtype=np.int32))
        return torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, dtype=torch.int32)

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of tokens, without ``<pad>``, ``<bos>`` and the ``<eos>`` of a translation."""
        tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        text: str = self._tokenizer.decode(
            [token for token in tokens if token not in self._silent], skip_special_tokens=False
        )
        return text

    def token(self, index: int) -> str:
        """A token as written in the vocabulary. Raises UsageError for an unknown index."""
        token = self._tokenizer.id_to_token(index)
        if token is None:
            raise UsageError(f"there is no token {index}: the vocabulary has {self.size}")
        return str(token)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For each token of ``encode(text)`` its characters in the text: (start, end)."""
        found: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return found

    def expect_known(self, text: str) -> None:
        """Raise UsageError for the first character that is unknown to a character tokenizer."""
        if self.kind != "character":
            return
        found = self._tokenizer.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token == self.unknown:
                raise UsageError(
                    f"the model does not know the character {shown(text[start:end])}: it is not in the training data"
                )

    @cached_property
    def characters_V(self) -> Tensor:  # noqa: N802
        """Characters of text for each token, (V,) float32: letters of a word and the following space; bytes that start
        a character for byte pairs. ``<eos>`` is 0, as the newline is counted with the last word of a line."""
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
        """The tokenizer from ``to_json``. Raises RunError for other contents."""
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # the library raises bare exceptions
            raise RunError(
                f"tokenizer.json is damaged or has another format: {' '.join(str(error).split())}"
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
        spaced = decoders.WordPiece("\n", cleanup=False)  # a space before each token; no token starts with a newline
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
    """The lines of the texts, with their ends."""
    for text in texts:
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            yield text[start:end]
            start = end
