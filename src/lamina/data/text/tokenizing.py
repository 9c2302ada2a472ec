"""Tokenizers of characters, words and byte pairs, in the file format of the ``tokenizers`` library."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from lamina.data.tabular.columns import shown
from lamina.data.text.brought import BYTES, Roles, characters_known, roles_of
from lamina.errors import RunError, UsageError

TokenKind = Literal["character", "word", "bpe"]

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
OWN_SPECIALS = ((), (UNKNOWN,), (UNKNOWN, END), (PAD, UNKNOWN), (PAD, UNKNOWN, BEGIN, END))
LACKS = "the tokenizer has no unknown token, and does not know all of the text"
MOST_CHARACTERS, MOST_WORDS, MOST_BYTE_PAIRS = 0x110000, 20_000, 8_000
WORD = r"\d+(?:[.,]\d+)+|\w+(?:['’\-]\w+)*|[^\w\s]"
"""a number or word with inner punctuation (1,000.5, don't, well-known), or a punctuation mark"""
UNSPACED = r" (?=[.,;:!?)\]}%…])|(?<=[(\[{]) "
"""spaces to remove before and after punctuation"""
LINES = 10_000
"""lines encoded at once"""
CHUNK = 1_000_000
"""characters of running text that a tokenizer from elsewhere encodes at once"""
SEAM = re.compile(r"(?<=\S\n)(?=\S)")
"""where a text may be cut: no token of a tokenizer from elsewhere is expected to cross the beginning of a line"""


class TextCode:
    """A tokenizer with its special tokens: one that ``fit`` makes, or one from elsewhere (``brought.read_tokenizer``).

    Newlines are separate tokens of characters and byte pairs, and ``<eos>`` for words in a language model; a text can
    therefore be encoded line by line. The words of a language model are separated by white space; those of other tasks
    are letters and digits with inner apostrophes and hyphens, or punctuation marks. Special tokens in a text are
    ordinary text; those of a tokenizer from elsewhere are what they are there (``<|endoftext|>`` between documents).

    Example: ``TextCode.fit(["a cat", "a dog"], "word", "classification").encode("a cat")``
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if getattr(tokenizer.model, "dropout", None) is not None:
            tokenizer.model.dropout = None  # else the same text has other tokens each time
        self._tokenizer = tokenizer
        data = json.loads(tokenizer.to_str())
        own = _own_kind(data)
        tokenizer.encode_special_tokens = own is not None  # "<bos>" in a text is not a special token
        self.own = own is not None
        """whether ``fit`` makes such tokenizers"""
        self.kind: TokenKind = own or ("bpe" if data["decoder"]["type"] == "ByteLevel" else "word")
        """how tokens are written as text; one from elsewhere that is not of bytes is "word": a token's text depends on
        the one before it"""
        self._vocabulary: dict[str, int] = tokenizer.get_vocab()
        self.size: int = max(self._vocabulary.values(), default=-1) + 1
        """vocabulary size"""
        self._roles = _own_roles(tokenizer) if own else roles_of(data, self._vocabulary)
        self._known = None if own else characters_known(data, self._vocabulary)

    @property
    def pad(self) -> int | None:
        """The id of the padding token, or None."""
        return self._roles.pad

    @property
    def unknown(self) -> int | None:
        """The id of the token for what is not in the vocabulary, or None."""
        return self._roles.unknown

    @property
    def begin(self) -> int | None:
        """The id of the token that begins a text, or None."""
        return self._roles.begin

    @property
    def end(self) -> int | None:
        """The id of the token that ends a text, or, of the words of a language model, a line; or None."""
        return self._roles.end

    @property
    def stop(self) -> int | None:
        """The id of the token after which a language model's text is over, or None."""
        return self.end if self.end in self._roles.silent else None

    @property
    def blank(self) -> int:
        """The id of the token to put in place of one whose influence is measured."""
        return next((token for token in (self.unknown, self.pad, self.end) if token is not None), 0)

    @cached_property
    def no_text(self) -> tuple[int, ...]:
        """Tokens that stand for no text, and are not to be generated: ``<pad>``, ``<unk>``, ``<bos>``; of a tokenizer
        from elsewhere all special ones but its end, and ids without a token."""
        found = {self.pad, self.unknown, self.begin}
        if not self.own:
            found |= {*self._roles.silent, *(set(range(self.size)) - set(self._vocabulary.values()))}
        return tuple(sorted(token for token in found if token not in (None, self.end)))

    @property
    def lowercases(self) -> bool:
        """Whether capital letters are read as small ones."""
        normalizer = self._tokenizer.normalizer
        return normalizer is not None and "A" not in normalizer.normalize_str("A")

    @cached_property
    def digest(self) -> str:
        """A hash of the vocabulary, each token with its id: what weights were trained with."""
        words = json.dumps(sorted(self._vocabulary.items()), ensure_ascii=False)
        return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()

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
        """The tokens of each text. Raises UsageError for a word that a tokenizer without an unknown token lacks."""
        try:
            return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        except Exception as error:  # the library raises bare exceptions
            raise UsageError(f"{LACKS} ({' '.join(str(error).split())})") from None

    def encode_running(self, text: str) -> Tensor:
        """The tokens (N,) int32 of running text."""
        pieces, at_once = self._running(text)
        parts = []
        for start in range(0, len(pieces), at_once):
            rows = self.encode_batch(pieces[start : start + at_once])
            parts.append(np.fromiter((token for row in rows for token in row), dtype=np.int32))
        return torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, dtype=torch.int32)

    def characters(self, text: str) -> Tensor:
        """The characters of running text that each token of ``encode_running`` stands for, (N,) int32: up to where the
        next token begins, spaces included, known or not. They add up to the whole text."""
        pieces, at_once = self._running(text)
        parts, start = [], 0
        for first in range(0, len(pieces), at_once):
            group = pieces[first : first + at_once]
            for piece, found in zip(group, self._tokenizer.encode_batch(group, add_special_tokens=False), strict=True):
                parts.append(np.fromiter((start + begin for begin, _ in found.offsets), dtype=np.int64))
                start += len(piece)
        begins = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        if len(begins):
            begins[0] = 0
        return torch.from_numpy(np.diff(begins, append=start).astype(np.int32))

    def _running(self, text: str) -> tuple[list[str], int]:
        """Running text in pieces that can be encoded one by one, and how many at once: lines, or, since the tokens of
        others may span lines, large chunks."""
        return (list(_pieces([text])), LINES) if self.own else (list(_chunks(text)), 1)

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of tokens, without ``<pad>``, ``<bos>`` and the ``<eos>`` of a translation, and without the special
        tokens of a tokenizer from elsewhere."""
        tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        text: str = self._tokenizer.decode(
            [token for token in tokens if token not in self._roles.silent], skip_special_tokens=False
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
        """Raise UsageError for the first character that is unknown to a character tokenizer, or that one from elsewhere
        would leave out."""
        self.expect_whole([text])
        if self.kind != "character":
            return
        found = self._tokenizer.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token == self.unknown:
                raise UsageError(
                    f"the model does not know the character {shown(text[start:end])}: it is not in the training data"
                )

    def expect_whole(self, texts: Iterable[str]) -> None:
        """Raise UsageError for the first character that a tokenizer without an unknown token would leave out."""
        if self._known is None:
            return
        normalizer = self._tokenizer.normalizer
        for text in texts:
            for char in dict.fromkeys(text if normalizer is None else normalizer.normalize_str(text)):
                written = (part for part, _ in BYTES.pre_tokenize_str(char)) if self.kind == "bpe" else (char,)
                if not self._known.issuperset("".join(written)) and not (char.isspace() and self.kind != "bpe"):
                    raise UsageError(f"{LACKS}: it would leave out the character {shown(char)}")

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


def _own_kind(data: dict[str, Any]) -> TokenKind | None:
    """The kind of a tokenizer that ``fit`` makes, by its JSON; None for one from elsewhere."""
    specials = tuple(token["content"] for token in data["added_tokens"])
    if specials not in OWN_SPECIALS or [token["id"] for token in data["added_tokens"]] != [*range(len(specials))]:
        return None
    kinds: dict[tuple[str, str], TokenKind] = {
        ("WordLevel", "Fuse"): "character",
        ("WordLevel", "Sequence"): "word",
        ("BPE", "ByteLevel"): "bpe",
    }
    kind = kinds.get((data["model"]["type"], data["decoder"]["type"]))
    steps = (data["pre_tokenizer"] or {}).get("pretokenizers", [])
    by_lines = [step["type"] for step in steps] == ["Split", "ByteLevel"] and steps[0]["pattern"] == {"String": "\n"}
    return kind if kind != "bpe" or by_lines else None


def _own_roles(tokenizer: Tokenizer) -> Roles:
    pad, unknown, begin, end = map(tokenizer.token_to_id, (PAD, UNKNOWN, BEGIN, END))
    # a language model's <eos> is the end of a line, and decoded
    silent = () if pad is None else (pad, begin, end)
    return Roles(pad, unknown, begin, end, frozenset(token for token in silent if token is not None))


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


def _chunks(text: str) -> Iterator[str]:
    """The text in parts of at least ``CHUNK`` characters, cut at the beginnings of lines."""
    start = 0
    while start < len(text):
        seam = SEAM.search(text, start + CHUNK)
        end = len(text) if seam is None else seam.start()
        yield text[start:end]
        start = end
