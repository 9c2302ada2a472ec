"""Samples of a language or translation model during training: the same prompts after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lamina.data.source import Source, Split
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs, Text
from lamina.data.text.streams import Ragged
from lamina.runs.text.generation import continue_tokens
from lamina.runs.text.translation import Translator, translate
from lamina.runs.views.base import TrainingSamples
from lamina.tasks.generation_options import GenerationOptions

PROMPT = 16
"""maximum number of tokens of a prompt"""
LENGTHS = {"character": 200, "word": 60, "bpe": 60}
"""new tokens of a sample, by kind of tokenizer"""
TRANSLATED = 3


@dataclass(frozen=True)
class Continued(TrainingSamples):
    """{"prompt", "text"}: a prompt and its continuation."""

    preprocess: TextPreprocess
    prompt: list[int]
    seed: int

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        options = GenerationOptions(max_new_tokens=LENGTHS[self.preprocess.code.kind], temperature=0.8, seed=self.seed)
        text = "".join(continue_tokens(model, self.preprocess, self.prompt, options))
        yield {"prompt": self.preprocess.decode(self.prompt), "text": text}


@dataclass(frozen=True)
class Translated(TrainingSamples):
    """{"source", "text", "truth"}: a source, its translation, and the reference."""

    task: Translator
    preprocess: TextPreprocess
    pairs: Pairs

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        samples = cast(Ragged, self.preprocess.encode(self.pairs))
        best_of_each = translate(model, self.task, self.preprocess, samples)
        for source, best, truth in zip(self.pairs.sources, best_of_each, self.pairs.texts, strict=True):
            yield {"source": source, "text": best[0][0], "truth": truth}


def continued(preprocess: TextPreprocess, source: Source, seed: int) -> Continued:
    """Continuations of the beginning of the validation text, or else of the training text."""
    text = cast(Text, _held_out(source)).text
    return Continued(preprocess, preprocess.code.encode(text[: 20 * PROMPT])[:PROMPT], seed)


def translated(task: Translator, preprocess: TextPreprocess, source: Source) -> Translated:
    """Translations of the first three validation sources, or else training sources."""
    pairs = cast(Pairs, _held_out(source))
    return Translated(task, preprocess, pairs.subset(range(min(TRANSLATED, len(pairs)))))


def _held_out(source: Source) -> Split:
    return source.splits.get("validation", source.splits["train"])
