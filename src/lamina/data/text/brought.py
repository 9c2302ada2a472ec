"""Tokenizers from elsewhere: their files, and which of their tokens play which part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from lamina.errors import DataError, UsageError

WHOLE = "tokenizer.json"
PAIR = ("vocab.json", "merges.txt")
"""the byte pairs of GPT-2 in two files"""
TEXT_END = "<|endoftext|>"
PADS = ("<pad>", "[PAD]", "<|pad|>", "<PAD>")
BEGINS = ("<bos>", "<s>", "[CLS]", "[BOS]", "<|startoftext|>", "<|begin_of_text|>", TEXT_END)
ENDS = ("<eos>", "</s>", "[SEP]", "[EOS]", "<|end_of_text|>", TEXT_END)
"""what projects call the tokens of each part; the first that the vocabulary has is used"""
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
"""the characters that byte-level tokenizers write bytes as"""


@dataclass(frozen=True)
class Roles:
    """The ids of special tokens, None where there is none."""

    pad: int | None
    unknown: int | None
    begin: int | None
    end: int | None
    silent: frozenset[int]
    """tokens that are left out of decoded text"""


def roles_of(data: Mapping[str, Any], vocabulary: Mapping[str, int]) -> Roles:
    """The special tokens of a tokenizer from elsewhere, by its JSON and its vocabulary."""
    special = frozenset(token["id"] for token in data["added_tokens"] if token["special"])
    model = data["model"]
    unknown = model.get("unk_id") if model["type"] == "Unigram" else vocabulary.get(model.get("unk_token") or "")
    pad, begin, end = (
        next((vocabulary[name] for name in names if name in vocabulary), None) for names in (PADS, BEGINS, ENDS)
    )
    silent = special | {token for token in (pad, begin, end) if token is not None}
    return Roles(pad, unknown, begin, end, silent)


def characters_known(data: Mapping[str, Any], vocabulary: Mapping[str, int]) -> frozenset[str] | None:
    """The characters that a tokenizer of byte pairs knows, where it leaves out all others in silence: it has no unknown
    token, and does not know every byte. None for one that leaves out nothing.

    A byte-level tokenizer writes bytes as characters, which are then the ones that count. Raises UsageError for one
    that marks parts of words, of which it cannot be told what it leaves out.
    """
    model = data["model"]
    if model["type"] != "BPE" or model.get("unk_token") in vocabulary:
        return None
    if model.get("byte_fallback") and all(f"<0x{byte:02X}>" in vocabulary for byte in range(256)):
        return None
    if data["decoder"]["type"] == "ByteLevel":
        return None if all(char in vocabulary for char in ALPHABET) else frozenset(ALPHABET) & vocabulary.keys()
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise UsageError("the tokenizer has no unknown token, and would leave out what it does not know")
    return frozenset(char for char in vocabulary if len(char) == 1)


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
"""writes each byte as the character of ``ALPHABET`` that stands for it"""


def tokenizer_in(folder: Path) -> Path | None:
    """The file of a tokenizer in a folder: ``tokenizer.json``, or ``vocab.json`` beside ``merges.txt``; else None."""
    if (folder / WHOLE).is_file():
        return folder / WHOLE
    return folder / PAIR[0] if all((folder / name).is_file() for name in PAIR) else None


def tokenizer_at(where: str | Path) -> Path:
    """The file of a tokenizer that a path names, itself or a folder with one. Raises UsageError."""
    path = Path(where).expanduser()
    if path.is_dir():
        found = tokenizer_in(path)
        if found is None:
            raise UsageError(f"--tokenizer {where}: the folder has no {WHOLE}, nor {PAIR[0]} and {PAIR[1]}")
        return found
    if not path.is_file():
        raise UsageError(f"--tokenizer {where}: no such file")
    if path.name.endswith(PAIR[1]):
        return path.with_name(path.name.removesuffix(PAIR[1]) + PAIR[0])
    return path


def read_tokenizer(path: Path) -> Tokenizer:
    """A ``tokenizer.json``, or a ``vocab.json`` with the ``merges.txt`` beside it, as GPT-2 has them.

    Raises UsageError for another format and a missing file of the two, DataError for a damaged file.
    """
    if path.suffix != ".json":
        raise UsageError(f"--tokenizer {path}: expected a {WHOLE}, a {PAIR[0]} beside its {PAIR[1]}, or their folder")
    content = _json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a tokenizer: it holds a {type(content).__name__}")
    if "model" not in content or isinstance(content["model"], int):
        return _byte_pairs(path, content)
    try:
        tokenizer = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises bare exceptions
        raise DataError(f"{path} is damaged, or not a tokenizer: {' '.join(str(error).split())}") from None
    if content.get("decoder") is None:  # the library then joins tokens with spaces
        tokenizer.decoder = decoders.WordPiece("\n", cleanup=False)  # no token starts with a newline
    return tokenizer


def _byte_pairs(path: Path, vocabulary: Mapping[str, Any]) -> Tokenizer:
    """GPT-2's byte pairs from a vocabulary and its merges, with the tokens of ``added_tokens.json`` beside them."""
    merges = path.with_name(path.name.removesuffix(PAIR[0]) + PAIR[1])
    if not path.name.endswith(PAIR[0]) or not merges.is_file():
        raise UsageError(f"{path} is no {WHOLE}, and as a vocabulary it needs its {PAIR[1]} beside it")
    if not vocabulary or not all(isinstance(index, int) for index in vocabulary.values()):
        raise DataError(f"{path} is not a vocabulary: it does not give each token a number")
    if any(token.endswith("</w>") for token in vocabulary):
        raise UsageError(f"{path} marks the ends of words, which GPT-2's byte pairs do not: give its {WHOLE}")
    pairs = []
    for number, line in enumerate(merges.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("#version") or not line.strip():
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2:
            raise DataError(f"{merges}, line {number}: expected two tokens with a space between them")
        pairs.append((parts[0], parts[1]))
    try:
        tokenizer = Tokenizer(models.BPE(dict(vocabulary), pairs))
    except Exception as error:  # the library raises bare exceptions
        raise DataError(f"{path} and {merges.name} do not belong together: {' '.join(str(error).split())}") from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _add(tokenizer, path, vocabulary)
    return tokenizer


def _add(tokenizer: Tokenizer, path: Path, vocabulary: Mapping[str, int]) -> None:
    """The special tokens: those of ``added_tokens.json``, and those of the vocabulary that are written as such."""
    named = {*PADS, *BEGINS, *ENDS, "<unk>", "[UNK]", "<mask>", "[MASK]"}
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in vocabulary if token in named])
    more = path.with_name("added_tokens.json")
    if not more.is_file():
        return
    content = _json(more)
    if not isinstance(content, dict) or not all(isinstance(index, int) for index in content.values()):
        raise DataError(f"{more} does not give each token a number")
    for token, index in sorted(content.items(), key=lambda item: item[1]):
        tokenizer.add_special_tokens([AddedToken(token, special=True)])
        if tokenizer.token_to_id(token) != index:
            raise DataError(f"{more} gives '{token}' the number {index}, its place is {tokenizer.token_to_id(token)}")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from None
