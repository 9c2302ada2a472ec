"""A look inside a run with one text: what its page says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.streams import Ragged
from lamina.decoding.decoder import limits
from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.pieces import pieces_of, words_of
from lamina.inspection.text import inspect_classified_text, inspect_running_text, inspect_translation
from lamina.report.text.inspection import TextLook
from lamina.runs.image.inspection import class_number, in_words
from lamina.runs.text.translation import translate
from lamina.tasks.translation import LONGER, Translation

if TYPE_CHECKING:
    from lamina.inspection.word_attribution import Predictor
    from lamina.runs.run import Run

MOST = 512
"""tokens looked at of a model without a context"""


def look_at_text(run: Run, text: str, target: str | int | None = None) -> TextLook:
    """What ``Run.inspect`` sees of a text, and what its page says. A text longer than the model's context is cut.

    ``target`` is the class whose words are looked for (default: the one that the model says). Raises UsageError for a
    run that takes no texts, an empty text, a character that a model of characters does not know, and a class where
    there are none, or not this.
    """
    preprocess = run.preprocess
    if not isinstance(preprocess, TextPreprocess):
        raise UsageError(f"{run.path} takes {preprocess.kind} data, no texts")
    if not isinstance(text, str):
        raise UsageError(f"a text is a str, got {type(text).__name__}")
    code = preprocess.code
    tokens_T = preprocess.encode_input(text)["tokens"][0]
    whole, most = len(code.encode(text)), limits(run.model)[1] or MOST
    tokens_T = tokens_T[:most]
    looked = text if len(tokens_T) >= whole else text[: code.spans(text)[len(tokens_T) - 1][1]]
    facts = {"model": run.config.name, "weights": f"the best of {run.path}", "data": run.config.data}
    if looked != text:
        facts["looked at"] = f"the first {len(tokens_T)} of {whole} tokens"
    common: dict[str, Any] = {
        "name": run.directory.name,
        "model": run.config.name,
        "text": looked,
        "token": piece(preprocess),
        "facts": facts,
    }
    match run.task.name:
        case "language-modelling" | "translation" if target is not None:
            raise UsageError(f"{run.path} tells no classes apart: its task is {run.task.name}")
        case "language-modelling":
            seen = inspect_running_text(run.model, tokens_T)
            return TextLook(seen=seen, tokens=pieces_of(code, tokens_T.tolist()), **common)
        case "translation":
            return _translated(run, preprocess, tokens_T, common)
    words = words_of(looked, code.spans(looked)[: len(tokens_T)])
    names = preprocess.target.classes or preprocess.target.names
    number = class_number(target, names)
    seen = inspect_classified_text(run.model, tokens_T, [word.places for word in words], say_of(run), code.unknown or 0)
    assert seen.outputs_K is not None
    if number is None:
        number = 0 if preprocess.target.task == "regression" else int(seen.outputs_K.argmax())
    return TextLook(
        seen=seen,
        tokens=pieces_of(code, tokens_T.tolist()),
        target=names[number],
        output=number,
        said=in_words(seen.outputs_K, names, preprocess.target),
        words=[(word.begin, word.end) for word in words],
        **common,
    )


def say_of(run: Run) -> Predictor:
    """What a run's classifier says of rows of tokens: probabilities, or values in the target's own units."""

    def say(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        with evaluation_mode(run.model), torch.no_grad():
            said = run.task.predict(run.model, {"tokens": tokens_BT, "lengths": lengths_B})
        return said["values"] if "values" in said else said["probabilities"]

    return say


def piece(preprocess: TextPreprocess) -> Callable[[int], str]:
    """Any token of the vocabulary as a piece of text."""
    return lambda token: pieces_of(preprocess.code, [token])[0]


def written_by(run: Run, preprocess: TextPreprocess, source_S: Tensor) -> list[int]:
    """What a translator writes of one source, the mark of the beginning first, and that of the end last where it came
    to an end."""
    task, code = run.task, preprocess.code
    assert isinstance(task, Translation)
    assert code.begin is not None
    assert code.end is not None
    samples = Ragged(source_S, torch.tensor([0, len(source_S)]), {})
    ((_, best),) = translate(run.model, task, preprocess, samples)[0]
    ended = len(best.tokens) < len(source_S) + LONGER
    return [code.begin, *best.tokens, *([code.end] if ended else [])]


def _translated(run: Run, preprocess: TextPreprocess, source_S: Tensor, common: dict[str, Any]) -> TextLook:
    code = preprocess.code
    written = written_by(run, preprocess, source_S)
    seen = inspect_translation(run.model, source_S, torch.tensor(written))
    return TextLook(
        seen=seen,
        tokens=pieces_of(code, written[:-1]),
        source=pieces_of(code, source_S.tolist()),
        written=pieces_of(code, written[1:]),
        translation=preprocess.decode(written).strip(),
        **common,
    )
