"""What a model that writes has learned so far, in its own words: a few samples after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from lamina.data.preprocess import Preprocess
from lamina.data.source import Source
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs, Text
from lamina.data.text.streams import Ragged
from lamina.runs.text.generation import continue_tokens
from lamina.runs.text.generation_options import Manner
from lamina.runs.text.translation import translate
from lamina.tasks.base import Task
from lamina.tasks.translation import Translation

PROMPT = 16
"""tokens of a prompt at most"""
LENGTHS = {"character": 200, "word": 60, "bpe": 60}
"""new tokens of a sample, by kind of tokenizer"""
TRANSLATED = 3


class Samples(Protocol):
    """Samples of a model as it is, the same prompts every time."""

    def written(self, model: nn.Module) -> Iterator[dict[str, Any]]: ...


def samples_of(task: Task, preprocess: Preprocess, source: Source, seed: int) -> Samples | None:
    """For a model that writes: the beginning of the validation text continued, or the first three validation sources
    translated (of the training data where there is no validation). None for any other."""
    if not isinstance(preprocess, TextPreprocess):
        return None
    split = source.splits.get("validation", source.splits["train"])
    if isinstance(split, Text):
        return Continued(preprocess, preprocess.code.encode(split.text[: 20 * PROMPT])[:PROMPT], seed)
    if isinstance(split, Pairs) and isinstance(task, Translation):
        return Translated(task, preprocess, split.subset(range(min(TRANSLATED, len(split)))))
    return None


@dataclass(frozen=True)
class Continued:
    """{"prompt", "text"}: how the model goes on."""

    preprocess: TextPreprocess
    prompt: list[int]
    seed: int

    def written(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        manner = Manner(max_new_tokens=LENGTHS[self.preprocess.code.kind], temperature=0.8, seed=self.seed)
        text = "".join(continue_tokens(model, self.preprocess, self.prompt, manner))
        yield {"prompt": self.preprocess.decode(self.prompt), "text": text}


@dataclass(frozen=True)
class Translated:
    """{"source", "text", "truth"}: what the model makes of a source, and what it should."""

    task: Translation
    preprocess: TextPreprocess
    pairs: Pairs

    def written(self, model: nn.Module) -> Iterator[dict[str, Any]]:
        samples = self.preprocess.encode(self.pairs)
        assert isinstance(samples, Ragged)
        said = translate(model, self.task, self.preprocess, samples)
        for source, best, truth in zip(self.pairs.sources, said, self.pairs.texts, strict=True):
            yield {"source": source, "text": best[0][0], "truth": truth}
