"""Translation of texts in batches of similar length, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import nn

from lamina.data.streams import Batch
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs
from lamina.data.text.streams import Ragged
from lamina.decoding import Hypothesis
from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.tasks.translation_scores import bleu_tokenizer, score_translations


class Translator(Protocol):
    """A task whose models translate."""

    def translate(
        self, model: nn.Module, batch: Batch, *, beam: int = 1, length_penalty: float = 0.6
    ) -> list[list[Hypothesis]]:
        """The ``beam`` best translations of each source, best first."""


AT_ONCE = 64
"""sources that are translated together"""


def translate(
    model: nn.Module,
    task: Translator,
    preprocess: TextPreprocess,
    samples: Ragged,
    *,
    beam: int = 1,
    length_penalty: float = 0.6,
) -> list[list[tuple[str, Hypothesis]]]:
    """The ``beam`` best translations of the sources of ``samples``, best first, as texts and as hypotheses."""
    device = next(model.parameters()).device
    found: dict[int, list[tuple[str, Hypothesis]]] = {}
    longest_first = samples.offsets.diff().argsort(descending=True, stable=True)
    with evaluation_mode(model), torch.no_grad():
        for block in torch.split(longest_first, AT_ONCE):
            batch = {name: value.to(device) for name, value in samples.take(block).items()}
            if "source" not in batch:  # sources without targets
                batch = {"source": batch["tokens"], "source_lengths": batch["lengths"]}
            best = task.translate(model, batch, beam=beam, length_penalty=length_penalty)
            for number, hypotheses in zip(block.tolist(), best, strict=True):
                found[number] = [(preprocess.decode(one.tokens).strip(), one) for one in hypotheses]
    return [found[number] for number in range(len(samples))]


def translate_items(
    model: nn.Module, task: Translator, preprocess: TextPreprocess, texts: Sequence[str], beam: int, penalty: float
) -> list[dict[str, Any]]:
    """For each text its "translation" and "log_probability"; with a beam of several also "others", as pairs.

    Raises UsageError for texts that cannot be read, and for an invalid beam or penalty.
    """
    if not texts:
        raise UsageError("nothing to predict: give a text")
    encoded = preprocess.encode_input(list(texts))
    lengths = encoded["lengths"]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    real = torch.arange(encoded["tokens"].shape[1]) < lengths[:, None]
    samples = Ragged(encoded["tokens"][real], offsets, {})
    predictions = []
    for best in translate(model, task, preprocess, samples, beam=beam, length_penalty=penalty):
        (text, first), *rest = best
        one: dict[str, Any] = {"translation": text, "log_probability": first.log_probability}
        if beam > 1:
            one["others"] = [(other, hypothesis.log_probability) for other, hypothesis in rest]
        predictions.append(one)
    return predictions


def evaluate_translations(
    model: nn.Module, task: Translator, preprocess: TextPreprocess, pairs: Pairs, beam: int, lowercase: bool
) -> dict[str, float]:
    """ "exact_match", "bleu" and "chrf" of the translations of all pairs against the references."""
    samples = cast(Ragged, preprocess.encode(pairs))
    translations = [best[0][0] for best in translate(model, task, preprocess, samples, beam=beam)]
    tokenizer = bleu_tokenizer(preprocess.target.names[1], pairs.texts)
    return score_translations(translations, pairs.texts, lowercase=lowercase, tokenizer=tokenizer)
