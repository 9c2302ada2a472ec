"""Continuations by a language model: whole, or streamed piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from torch import nn

from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text_files import as_training_text
from lamina.decoding import generate, stream
from lamina.decoding.decoder import limits
from lamina.errors import UsageError
from lamina.randomness import derive
from lamina.tasks.generation_options import GenerationOptions

LOOK_BACK = 8
"""tokens that are decoded again with a new one: a word has its space from the one before it"""
PART = "\ufffd"
"""what the first of several tokens that make up one character is decoded to"""


def continue_texts(
    model: nn.Module, preprocess: TextPreprocess, prompts: Sequence[str], options: GenerationOptions
) -> list[str]:
    """What follows each prompt, without the prompt; errors as of ``continue_text``."""
    rows = [encoded(model, preprocess, prompt) for prompt in prompts]
    context = limits(model)[1]
    if context is not None and max(map(len, rows)) + options.max_new_tokens > context:
        return ["".join(continue_tokens(model, preprocess, row, options, number)) for number, row in enumerate(rows)]
    new_tokens = generate(
        model,
        rows,
        max_new_tokens=options.max_new_tokens,
        end=preprocess.code.stop,
        stop_text=options.stop,
        text=preprocess.decode,
        seed=options.seed,
        forbidden=preprocess.code.no_text,
        **options.sampling(),
    )
    return [
        preprocess.decode([*row, *new])[len(preprocess.decode(row)) :]
        for row, new in zip(rows, new_tokens, strict=True)
    ]


def continue_text(
    model: nn.Module, preprocess: TextPreprocess, prompt: str, options: GenerationOptions, row: int = 0
) -> Iterator[str]:
    """What follows a prompt, piece by piece. Where the model's context is full it goes on from the last half of it.

    Raises UsageError for an empty prompt, for one that fills the context, and for a character unknown to a
    character-level model.
    """
    return continue_tokens(model, preprocess, encoded(model, preprocess, prompt), options, row)


def encoded(model: nn.Module, preprocess: TextPreprocess, prompt: str) -> list[int]:
    """The tokens of a prompt. Raises UsageError as ``continue_text`` does."""
    tokens: list[int] = preprocess.encode_input(as_training_text(prompt))["tokens"][0].tolist()
    context = limits(model)[1]
    if context is not None and len(tokens) >= context:
        raise UsageError(f"the prompt has {len(tokens)} tokens: the model's context of {context} leaves no room")
    return tokens


def continue_tokens(
    model: nn.Module, preprocess: TextPreprocess, prompt: list[int], options: GenerationOptions, row: int = 0
) -> Iterator[str]:
    """As ``continue_text``, from tokens that the model has room for."""
    tokens, read = list(prompt), len(prompt)
    with closing(_tokens(model, prompt, options, row, preprocess.code.no_text)) as new:
        for token in new:
            tokens.append(token)
            text = preprocess.decode(tokens[len(prompt) :]) if options.stop else ""
            ends = any(stop in text for stop in options.stop) or len(tokens) - len(prompt) == options.max_new_tokens
            ends = ends or token == preprocess.code.stop
            first = max(0, read - LOOK_BACK)
            before, after = preprocess.decode(tokens[first:read]), preprocess.decode(tokens[first:])
            if not after.endswith(PART) or ends:  # else a character that is not whole yet
                read = len(tokens)
                yield after[len(before) :]
            if ends:
                return


def _tokens(
    model: nn.Module, prompt: list[int], options: GenerationOptions, row: int, forbidden: Sequence[int]
) -> Generator[int]:
    """The new tokens one by one, over as many contexts as needed."""
    context, known, left, part = limits(model)[1], list(prompt), options.max_new_tokens, 0
    while left:
        if context is not None and (part or len(known) >= context):
            known = known[-max(1, context // 2) :]
        most = left if context is None else min(left, context - len(known))
        # the first part draws as ``generate`` does, so that streaming gives the same text
        seed = derive(options.seed, "part", part) if part else options.seed
        steps = stream(
            model, [known], max_new_tokens=most, seed=seed, first_row=row, forbidden=forbidden, **options.sampling()
        )
        for ((_, token),) in steps:
            known.append(token)
            yield token
        left, part = left - most, part + 1
