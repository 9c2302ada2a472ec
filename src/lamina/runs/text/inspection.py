"""Inspection of a run with one text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.streams import Ragged
from lamina.decoding.decoder import limits
from lamina.errors import UsageError
from lamina.inspection.pieces import pieces_of, words_of
from lamina.inspection.text import inspect_classified_text, inspect_running_text, inspect_translation
from lamina.inspection.word_attribution import Predictor
from lamina.report.text.inspection import TextPage
from lamina.runs.evaluation import predicting
from lamina.runs.opened import Opened
from lamina.runs.text.translation import Translator, translate
from lamina.runs.views.labels import class_number, ranked
from lamina.tasks.base import OneOutput
from lamina.tasks.translation_options import LONGER

MOST = 512
"""maximum number of tokens for a model without a context"""


@dataclass(frozen=True)
class Excerpt:
    """A text cut to the model's context."""

    text: str
    tokens_T: Tensor
    common: dict[str, Any]
    """contents common to all pages"""


def excerpt(run: Opened, text: Any) -> Excerpt:
    """A text cut to the model's context. Raises UsageError for an empty text, and for a character that a
    character-level model does not know."""
    if not isinstance(text, str):
        raise UsageError(f"a text is a str, got {type(text).__name__}")
    preprocess = cast(TextPreprocess, run.preprocess)
    code = preprocess.code
    tokens_T = preprocess.encode_input(text)["tokens"][0]
    whole, most = len(code.encode(text)), limits(run.model)[1] or MOST
    tokens_T = tokens_T[:most]
    shown = text if len(tokens_T) >= whole else text[: code.spans(text)[len(tokens_T) - 1][1]]
    facts = {"model": run.config.name, "weights": f"the best of {run.path}", "data": run.config.data_name}
    if shown != text:
        facts["inspected"] = f"the first {len(tokens_T)} of {whole} tokens"
    common: dict[str, Any] = {
        "name": run.directory.name,
        "model": run.config.name,
        "text": shown,
        "token": piece(preprocess),
        "facts": facts,
    }
    return Excerpt(shown, tokens_T, common)


def expect_no_class(run: Opened, target: str | int | None) -> None:
    """Raise UsageError where a class is given and the task has none."""
    if target is not None:
        raise UsageError(f"{run.path} has no classes: its task is {run.task.name}")


def inspect_running(run: Opened, text: Any) -> TextPage:
    """Inspection of a language model with a text."""
    preprocess, part = cast(TextPreprocess, run.preprocess), excerpt(run, text)
    seen = inspect_running_text(run.model, part.tokens_T)
    return TextPage(seen=seen, tokens=pieces_of(preprocess.code, part.tokens_T.tolist()), **part.common)


def inspect_classified(run: Opened, text: Any, target: str | int | None) -> TextPage:
    """Inspection of a classifier with a text. ``target``: the class to explain (default: the predicted one)."""
    preprocess, part = cast(TextPreprocess, run.preprocess), excerpt(run, text)
    code, tokens_T = preprocess.code, part.tokens_T
    words = words_of(part.text, code.spans(part.text)[: len(tokens_T)])
    number = class_number(target, preprocess.target.labels)
    places = [word.places for word in words]
    seen = inspect_classified_text(run.model, tokens_T, places, predictor(run), code.blank)
    assert seen.outputs_K is not None
    if number is None:
        number = int(seen.outputs_K.argmax()) if preprocess.target.probable else 0
    return TextPage(
        seen=seen,
        tokens=pieces_of(code, tokens_T.tolist()),
        target=preprocess.target.labels[number],
        output=number,
        predictions=ranked(seen.outputs_K, preprocess.target),
        words=[(word.begin, word.end) for word in words],
        **part.common,
    )


def inspect_translated(run: Opened, text: Any) -> TextPage:
    """Inspection of a translation model with a text."""
    preprocess, part = cast(TextPreprocess, run.preprocess), excerpt(run, text)
    code = preprocess.code
    output = translate_tokens(run, preprocess, part.tokens_T)
    seen = inspect_translation(run.model, part.tokens_T, torch.tensor(output))
    return TextPage(
        seen=seen,
        tokens=pieces_of(code, output[:-1]),
        source=pieces_of(code, part.tokens_T.tolist()),
        output_tokens=pieces_of(code, output[1:]),
        translation=preprocess.decode(output).strip(),
        **part.common,
    )


def predictor(run: Opened) -> Predictor:
    """A function from tokens to the run's predictions: probabilities, or values in the target's units."""
    key = cast(OneOutput, run.task).prediction_key

    def predict(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        with predicting(run.model):
            return run.task.predict(run.model, {"tokens": tokens_BT, "lengths": lengths_B})[key]

    return predict


def piece(preprocess: TextPreprocess) -> Callable[[int], str]:
    """Any token of the vocabulary as a piece of text."""
    return lambda token: pieces_of(preprocess.code, [token])[0]


def translate_tokens(run: Opened, preprocess: TextPreprocess, source_S: Tensor) -> list[int]:
    """The output tokens for one source, with the begin token, and the end token where decoding ended."""
    task, code = cast(Translator, run.task), preprocess.code
    assert code.begin is not None
    assert code.end is not None
    samples = Ragged(source_S, torch.tensor([0, len(source_S)]), {})
    ((_, best),) = translate(run.model, task, preprocess, samples)[0]
    ended = len(best.tokens) < len(source_S) + LONGER
    return [code.begin, *best.tokens, *([code.end] if ended else [])]
