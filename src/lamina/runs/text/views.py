"""Views of runs on text: classification, language modelling, translation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

from torch import nn

from lamina.data.options import DataOptions
from lamina.data.protocols import Preprocess
from lamina.data.source import Source, Split
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs
from lamina.report.content import Internals, Outcome
from lamina.report.text.inspection import TextPage
from lamina.runs.opened import final_split
from lamina.runs.prediction import with_gaps
from lamina.runs.text.generation import continue_text, continue_texts
from lamina.runs.text.inspection import expect_no_class, inspect_classified, inspect_running, inspect_translated
from lamina.runs.text.report import attribution_outcome, running_outcome, text_sample, translated_outcome
from lamina.runs.text.samples import continued, translated
from lamina.runs.text.translation import Translator, evaluate_translations, translate_items
from lamina.runs.views.base import TrainingSamples, View
from lamina.runs.views.mistakes import Sample
from lamina.tasks.base import Batch, Task
from lamina.tasks.translation_scores import bleu_tokenizer, expect_sacrebleu, signatures


@dataclass(frozen=True)
class TextView(View):
    """Texts with targets: word attribution."""

    inspects: ClassVar[str] = "text"

    @property
    def texts(self) -> TextPreprocess:
        return cast(TextPreprocess, self.run.preprocess)

    def assumed(self) -> Mapping[str, object]:
        code = self.texts.code
        return {"tokenizer": f"{self.run.config.options.tokenizer}, {code.size:,} tokens"}

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> TextPage:
        return inspect_classified(self.run, item, target)

    def outcome(self, split: str) -> Outcome:
        outcome = super().outcome(split)
        if self.run.output_task() is None:
            return outcome
        return replace(outcome, text=attribution_outcome(self.run, split))

    def sample(self, split: str, index: int, output: int) -> Sample:
        return text_sample(self.run, split, index, output)

    def internals(self, split: str) -> Internals:
        return Internals(gradients=self.gradients())

    def first_batch(self) -> Batch:
        return next(iter(self.run.batches("train")))


@dataclass(frozen=True)
class LanguageModellingView(TextView):
    """Running text: continuations, surprisal."""

    unit: ClassVar[str] = "character"

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return continued(cast(TextPreprocess, preprocess), source, seed)

    def generate(self, prompts: Sequence[str], options: Any) -> list[str]:
        return continue_texts(self.run.model, self.texts, prompts, options)

    def stream(self, prompt: str, options: Any) -> Iterator[str]:
        return continue_text(self.run.model, self.texts, prompt, options)

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> TextPage:
        expect_no_class(self.run, target)
        return inspect_running(self.run, item)

    def outcome(self, split: str) -> Outcome:
        return running_outcome(self.run, split, self.run.measure(split))


@dataclass(frozen=True)
class TranslationView(TextView):
    """Pairs of texts: translations, their scores, alignments."""

    unit: ClassVar[str] = "pair"
    validation_metrics: ClassVar[tuple[str, ...]] = ("exact_match", "bleu", "chrf")
    _scores: dict[tuple[Pairs, int], dict[str, float]] = field(default_factory=dict, repr=False, compare=False)
    """cache: a report needs them after evaluation"""

    @classmethod
    def check_before_training(cls) -> None:
        expect_sacrebleu()

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return translated(cast(Translator, task), cast(TextPreprocess, preprocess), source)

    @classmethod
    def validation_scores(
        cls, task: Task, preprocess: Preprocess, model: nn.Module, split: Split, options: DataOptions
    ) -> dict[str, float]:
        """ "exact_match", "bleu" and "chrf" of greedy translations."""
        texts, pairs = cast(TextPreprocess, preprocess), cast(Pairs, split)
        return evaluate_translations(model, cast(Translator, task), texts, pairs, 1, options.lowercase)

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The task's metrics, and "exact_match", "bleu" and "chrf" of the model's translations."""
        found = self.run.measure(split, source)
        source = self.run.source if source is None else source
        pairs = cast(Pairs, source.splits[final_split(source) if split is None else split])
        beam = getattr(options, "beam", 1)
        if (pairs, beam) not in self._scores:
            lowercase = self.run.config.options.lowercase
            task = cast(Translator, self.run.task)
            self._scores[pairs, beam] = evaluate_translations(self.run.model, task, self.texts, pairs, beam, lowercase)
        return found | self._scores[pairs, beam]

    def signatures(self, source: Source | None = None) -> Mapping[str, str]:
        source = self.run.source if source is None else source
        texts = cast(Pairs, source.splits[final_split(source)]).texts
        tokenizer = bleu_tokenizer(self.run.preprocess.target.names[1], texts)
        return signatures(self.run.config.options.lowercase, tokenizer)

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        texts = [text for item in items for text in self.texts.texts_of(item)]
        present = [text for text in texts if text is not None]
        task = cast(Translator, self.run.task)
        found = translate_items(self.run.model, task, self.texts, present, options.beam, options.length_penalty)
        translations = iter(found)
        return with_gaps([None if text is None else next(translations) for text in texts])

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> TextPage:
        expect_no_class(self.run, target)
        return inspect_translated(self.run, item)

    def outcome(self, split: str) -> Outcome:
        return translated_outcome(self.run, split, self.evaluate(split, None, None), self.signatures())
