"""Samples of a language model or a translator in training: the same prompts after each epoch."""

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
from lamina.tasks.generation_options import GenerationOptions

PROMPT = 16
"""tokens of a prompt at most"""
LENGTHS = {"character": 200, "word": 60, "bpe": 60}
"""new tokens of a sample, by kind of tokenizer"""
TRANSLATED = 3


@dataclass(frozen=True)
class Continued:
    """{"prompt", "text"}: how the model goes on."""

    preprocess: TextPreprocess
    prompt: list[int]
    seed: int

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        options = GenerationOptions(max_new_tokens=LENGTHS[self.preprocess.code.kind], temperature=0.8, seed=self.seed)
        text = "".join(continue_tokens(model, self.preprocess, self.prompt, options))
        yield {"prompt": self.preprocess.decode(self.prompt), "text": text}


@dataclass(frozen=True)
class Translated:
    """{"source", "text", "truth"}: what the model makes of a source, and what it should."""

    task: Translator
    preprocess: TextPreprocess
    pairs: Pairs

    def rows(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        samples = cast(Ragged, self.preprocess.encode(self.pairs))
        best_of_each = translate(model, self.task, self.preprocess, samples)
        for source, best, truth in zip(self.pairs.sources, best_of_each, self.pairs.texts, strict=True):
            yield {"source": source, "text": best[0][0], "truth": truth}


def continued(preprocess: TextPreprocess, source: Source, seed: int) -> Continued:
    """The beginning of the validation text continued, of the training text where there is no validation."""
    text = cast(Text, _judged(source)).text
    return Continued(preprocess, preprocess.code.encode(text[: 20 * PROMPT])[:PROMPT], seed)


def translated(task: Translator, preprocess: TextPreprocess, source: Source) -> Translated:
    """The first three validation sources translated, of the training data where there is no validation."""
    pairs = cast(Pairs, _judged(source))
    return Translated(task, preprocess, pairs.subset(range(min(TRANSLATED, len(pairs)))))


def _judged(source: Source) -> Split:
    return source.splits.get("validation", source.splits["train"])
