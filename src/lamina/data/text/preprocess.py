"""Preprocessing of text: tokens of running text as a whole, of texts and pairs separately."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.protocols import BatchOptions, Input, Needs, Signature
from lamina.data.source import Source, Split
from lamina.data.streams import BLANK, Batch, Stream
from lamina.data.tabular.frames import is_table
from lamina.data.targets.code import TargetCode, fit_targets
from lamina.data.text.choosing import code_for
from lamina.data.text.inputs import WholeText, table_texts
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.streams import (
    ByLength,
    Contiguous,
    Ragged,
    RaggedInOrder,
    Running,
    TextInOrder,
    Windows,
    WindowsInOrder,
)
from lamina.data.text.tokenizing import TextCode
from lamina.data.text_files import read_lines
from lamina.errors import DataError, RunError, UsageError

TEXTS_AT_ONCE = 64
"""texts in a batch for prediction"""
WINDOW = 35
"""default length of truncated back-propagation in tokens (Zaremba et al. 2014)"""


@dataclass(frozen=True, kw_only=True)
class TextPreprocess:
    """All processing of text before the model; fitted on train, saved with the run.

    The tokenizer has its own file; see ``files``.

    Example: ``fit_preprocess(open_source("dates")).encode_input("3 March 2015")``
    """

    kind: ClassVar[str] = "text"
    input_key: ClassVar[str] = "tokens"

    target: TargetCode
    code: TextCode
    max_tokens: int
    """longer texts are truncated, longer pairs excluded from training"""
    notes: tuple[str, ...] = ()
    """notes for the user on truncated and excluded texts"""

    def model_options(self) -> dict[str, int]:
        """Model options determined by the data; those that the model has are set."""
        options = {"vocab_size": self.code.size}
        match self.target.task:
            case "language-modelling":
                return options
            case "translation":
                return options | {"source_vocab_size": self.code.size}
        return options | {"num_classes": self.target.outputs}

    def signature(self) -> Signature:
        """Tokens and row lengths; for translation also those of the source."""
        size = self.code.size
        tokens = Input("tokens", "int64", ("time",), below=size), Input("lengths", "int64", (), lengths_of="time")
        if self.target.task != "translation":
            return tokens
        return (
            *tokens,
            Input("source", "int64", ("source_time",), below=size),
            Input("source_lengths", "int64", (), lengths_of="source_time"),
        )

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Tokens by position, and lengths by name if the batch has them."""
        return (batch[self.input_key],), {"lengths": batch["lengths"]} if "lengths" in batch else {}

    def bytes_of(self, split: Split) -> int:
        """Estimated bytes of memory of a split, which is always held."""
        return sum(4 * len(text) for text in _texts(split))

    def encode(self, split: Split, hold: bool = True) -> Ragged | Running:
        """A split as tokens; always held. Running text: {"tokens": (N,) int32}. Texts: truncated to ``max_tokens``,
        with their targets. Pairs: not truncated, the source followed by ``<eos>``, the translation between ``<bos>``
        and ``<eos>``. Unknown tokens are ``<unk>``.

        Raises DataError for a text without tokens, a running text of less than two tokens, and a text of which the
        tokenizer would leave something out.
        """
        try:
            self.code.expect_whole(_texts(split))
        except UsageError as error:
            raise DataError(str(error)) from None
        match split:
            case Text():
                tokens = self.code.encode_running(split.text)
                if len(tokens) < 2:
                    raise DataError(f"a running text needs at least 2 tokens, got {len(tokens)}")
                return Running({"tokens": tokens}, partial(self.code.characters, split.text))
            case Pairs():
                return Ragged(*_joined(self._sources(split.sources)), {}, _joined(self._translations(split.texts)))
        texts = cast(Texts, split)
        rows = [row[: self.max_tokens] for row in self.code.encode_batch(texts.texts)]
        return Ragged(*_joined(rows), self.target.encoded(texts))

    def prepare(self, batch: Batch) -> Batch:
        """The batch unchanged."""
        return batch

    def encode_input(self, item: object) -> Batch:
        """One text or several as {"tokens": (n, T) int64 padded with 0, "lengths": (n,)}.

        Raises UsageError for other types, a text without tokens, and a character unknown to a character tokenizer.
        """
        texts = [item] if isinstance(item, str) else item
        if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"expected a str or a list of str, not {type(item).__name__}")
        for text in texts:
            self._expect_tokens(text)
        match self.target.task:
            case "language-modelling":
                rows = self.code.encode_batch(texts)
            case "translation":
                rows = self._sources(texts)
            case _:
                rows = [row[: self.max_tokens] for row in self.code.encode_batch(texts)]
        tokens, offsets = _joined(rows)
        return Ragged(tokens, offsets, {}).take(torch.arange(len(rows)))

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The text of tokens."""
        return self.code.decode(ids)

    @property
    def vocabulary(self) -> str:
        """A hash of the vocabulary, which weights trained with it carry."""
        return self.code.digest

    def input_batches(self, item: object) -> Iterator[Batch]:
        """Texts in batches: a text, several as a list, or the lines of a text file, given as a Path. Blank lines are
        rows, too, marked in "blank" (n,) bool.

        Raises UsageError or DataError.
        """
        texts = self.texts_of(item)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            yield self._with_gaps(texts[start : start + TEXTS_AT_ONCE])

    def texts_of(self, item: Any) -> list[str | None]:
        """A text, several as a list, an array or a column, a data frame with one column of texts, or the lines of a
        text file or the texts of a table, given as a Path, with None for a blank line.

        Raises UsageError for other types, a missing file, and a line that the tokenizer cannot encode, DataError for a
        file that is empty or not UTF-8.
        """
        if isinstance(item, Path):
            return self._lines(item)
        texts = [item] if isinstance(item, str | WholeText) else _column(item)
        if isinstance(texts, list | tuple):
            texts = [one.read() if isinstance(one, WholeText) else one for one in texts]
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
            what = "a str, a list of str, or the Path of a file with one text on each line"
            raise UsageError(f"expected {what}, not {type(item).__name__}")
        return list(texts)

    def _lines(self, path: Path) -> list[str | None]:
        if not path.is_file():
            raise UsageError(f"no such file: {path}")
        table, limit = is_table(path), DataOptions().max_extracted_bytes
        lines = table_texts(path, self.target.names) if table else read_lines(path, limit, "utf-8")
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    self._expect_tokens(line)
            except UsageError as error:
                raise UsageError(f"{path.name}, {'row' if table else 'line'} {number}: {error}") from None
        return [line if line.strip() else None for line in lines]

    def _with_gaps(self, texts: Sequence[str | None]) -> Batch:
        """A batch in which every None is a row of padding."""
        present = [text for text in texts if text is not None]
        if len(present) == len(texts):
            return self.encode_input(present)
        given = self.encode_input(present) if present else {"tokens": torch.zeros(0, 1, dtype=torch.int64)}
        blank = torch.tensor([text is None for text in texts])
        tokens = given["tokens"].new_zeros(len(texts), given["tokens"].shape[1])
        lengths = tokens.new_ones(len(texts))
        if present:
            tokens[~blank], lengths[~blank] = given["tokens"], given["lengths"]
        return {"tokens": tokens, "lengths": lengths, BLANK: blank}

    def undo(self, value: Tensor) -> str:
        """The text of tokens (T,)."""
        return self.decode(value)

    def training_stream(self, samples: Ragged | Running, options: BatchOptions) -> Stream:
        """Texts and pairs batched by length; running text in contiguous rows for models with a state, in shuffled
        windows for models with a context. Raises UsageError for an unsuitable batch size or window."""
        recipe, place = options.recipe, options.place
        shared: dict[str, int] = {"rank": place.rank, "world": place.world}
        size, seed = recipe.batch_size, recipe.seed
        if isinstance(samples, Ragged):
            if recipe.window is not None:
                raise UsageError("window is for running text, but the data consist of separate samples")
            longest = None if samples.second is None else self.max_tokens
            return ByLength(samples, size, seed, longest=longest, whole=options.whole, **shared)
        tokens_N, window = samples.tensors["tokens"], window_of(options)
        if options.context is None:
            return Contiguous(tokens_N, size, window, seed, **shared)
        return Windows(tokens_N, size, window, seed, whole=options.whole, **shared)

    def evaluation_batches(self, samples: Ragged | Running, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every text once, in order; every token but the first of running text."""
        recipe, place = options.recipe, options.place
        shared: dict[str, int] = {"rank": place.rank, "world": place.world}
        size = max(1, recipe.batch_size // place.world)  # no larger than in training: logits of all tokens are large
        if isinstance(samples, Ragged):
            return RaggedInOrder(samples, size, **shared)
        tokens_N, window = samples.tensors["tokens"], window_of(options)
        if options.context is None:
            return TextInOrder(tokens_N, recipe.batch_size, window, **shared, characters_N=samples.characters_N)
        return WindowsInOrder(tokens_N, size, window, **shared, characters_N=samples.characters_N)

    def files(self) -> dict[str, dict[str, Any]]:
        return {"preprocess.json": self.to_dict(), "tokenizer.json": json.loads(self.code.to_json())}

    def to_dict(self) -> dict[str, Any]:
        """Plain data with a hash of the tokenizer; ``load_preprocess`` reads it."""
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.to_dict(),
            "max_tokens": self.max_tokens,
            "tokenizer": _digest(self.code),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> TextPreprocess:
        """The inverse of ``to_dict``. Raises RunError for a damaged tokenizer, or another one than in training."""
        code = TextCode.from_json(json.dumps(tokenizer))
        if _digest(code) != data["tokenizer"]:
            raise RunError("tokenizer.json is not the tokenizer that the model was trained with")
        target = TargetCode.from_dict(data["target"])
        return cls(target=target, code=code, max_tokens=data["max_tokens"], notes=tuple(data["notes"]))

    def _expect_tokens(self, text: str) -> None:
        self.code.expect_known(text)
        if not text or not self.code.encode(text):
            raise UsageError("the text is empty")

    def _sources(self, texts: Sequence[str]) -> list[list[int]]:
        end = cast(int, self.code.end)
        return [[*row, end] for row in self.code.encode_batch(texts)]

    def _translations(self, texts: Sequence[str]) -> list[list[int]]:
        begin, end = cast(int, self.code.begin), cast(int, self.code.end)
        return [[begin, *row, end] for row in self.code.encode_batch(texts)]


def window_of(options: BatchOptions) -> int:
    """Tokens in each row of running text. Raises UsageError if they exceed the model's context."""
    window, context = options.recipe.window, options.context
    if window is None:
        return WINDOW if context is None else context
    if context is not None and window > context:
        raise UsageError(f"window {window} is longer than the model's context of {context}")
    return window


def _column(item: Any) -> Any:
    """The values of a column of a data frame, or of an array; other items unchanged."""
    if hasattr(item, "columns") and hasattr(item, "iloc"):
        texts = [name for name in item.columns if len(item) and isinstance(item[name].iloc[0], str)]
        if len(texts) != 1:
            named = ", ".join(map(str, texts or item.columns))
            raise UsageError(f"a data frame for texts has one column of texts: choose one of {named}")
        item = item[texts[0]]
    return item.tolist() if hasattr(item, "tolist") else item


def fit_text(source: Source, needs: Needs) -> TextPreprocess:
    """The preprocess of text; see ``modality.fit_preprocess``."""
    train = source.splits["train"]
    code, notes = code_for(source.spec, _texts(train), needs)
    most, context = needs.options.max_tokens, needs.context
    limit = most if context is None else min(most, context)
    notes = (*notes, *_notes(code, train, limit))
    return TextPreprocess(target=fit_targets(source), code=code, max_tokens=limit, notes=notes)


def _texts(split: Split) -> Sequence[str]:
    """All texts of a split."""
    match split:
        case Text():
            return [split.text]
        case Pairs():
            return [*split.sources, *split.texts]
    return cast(Texts, split).texts


def _notes(code: TextCode, train: Split, limit: int) -> tuple[str, ...]:
    """Notes on texts of more than ``limit`` tokens."""
    match train:
        case Pairs():
            long = zip(_longer(code, train.sources, limit - 1), _longer(code, train.texts, limit - 2), strict=True)
            count = sum(source or text for source, text in long)
            return (f"{count:,} pairs of more than {limit} tokens: left out of training",) if count else ()
        case Texts():
            count = sum(_longer(code, train.texts, limit))
            return (f"{count:,} texts of more than {limit} tokens: cut",) if count else ()
    return ()


def _longer(code: TextCode, texts: Sequence[str], limit: int) -> list[bool]:
    """Which texts have more than ``limit`` tokens. Only texts with more bytes are encoded."""
    long = [len(text.encode()) > limit for text in texts]
    counts = iter(code.encode_batch([text for text, may in zip(texts, long, strict=True) if may]))
    return [may and len(next(counts)) > limit for may in long]


def _joined(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Concatenated tokens (int32) and the offsets of the rows. Raises DataError for an empty row."""
    counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    if not counts.all():
        raise DataError(f"text {int(counts.argmin()) + 1} of a split is empty: it has no tokens")
    tokens = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(counts.sum()))
    return torch.from_numpy(tokens), torch.from_numpy(np.concatenate([[0], counts.cumsum()]))


def _digest(code: TextCode) -> str:
    return hashlib.blake2b(code.to_json().encode(), digest_size=16).hexdigest()
