"""Continue prompts token by token, with one forward pass per step for the whole batch.

Legend: B batch, T tokens of the longest prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Required, TypedDict, Unpack

import torch
from torch import Tensor, nn

from lamina.decoding.decoder import Decoder, State, expect_token, read_prompts
from lamina.decoding.sampling import Sampling, uniforms
from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode

Text = Callable[[list[int]], str]
"""Turns tokens into text: a tokenizer's ``decode``."""


@dataclass(frozen=True)
class Ending:
    """When a row ends: at the token ``end``, a stop sequence of tokens, or a stop text."""

    end: int | None
    stop: tuple[tuple[int, ...], ...]
    stop_text: tuple[str, ...]
    text: Text | None

    def __post_init__(self) -> None:
        if not all(self.stop) or not all(self.stop_text):
            raise UsageError("a stop sequence must not be empty")
        if self.stop_text and self.text is None:
            raise UsageError("stop_text needs text=, which turns tokens into text")

    def reached(self, tokens: list[int]) -> bool:
        """Whether a row with these new tokens has ended."""
        if tokens[-1] == self.end or any(tuple(tokens[-len(stop) :]) == stop for stop in self.stop):
            return True
        if not self.stop_text or self.text is None:
            return False
        written = self.text(tokens)
        return any(stop in written for stop in self.stop_text)


class Options(TypedDict, total=False):
    """The keyword arguments of ``stream``, which documents them."""

    max_new_tokens: Required[int]
    temperature: float
    greedy: bool
    top_k: int | None
    top_p: float | None
    repetition_penalty: float
    forbidden: Sequence[int]
    end: int | None
    stop: Sequence[Sequence[int]]
    stop_text: Sequence[str]
    text: Text | None
    seed: int
    first_row: int
    memory: tuple[Tensor, ...] | None


def generate(
    model: nn.Module, prompts: Sequence[Sequence[int]] | Tensor, **options: Unpack[Options]
) -> list[list[int]]:
    """Continue prompts: the new tokens of each row, without the prompt; options and errors are those of ``stream``.

    A row includes the ``end`` token or stop sequence that ended it.

        generate(model, [[1, 5, 2], [7]], max_new_tokens=20, top_p=0.9, seed=1)
        generate(model, prompts_BT, max_new_tokens=20, greedy=True, end=0)
    """
    rows: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, **options):
        for row, token in step:
            rows[row].append(token)
    return rows


def stream(
    model: nn.Module,
    prompts: Sequence[Sequence[int]] | Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    greedy: bool = False,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    forbidden: Sequence[int] = (),
    end: int | None = None,
    stop: Sequence[Sequence[int]] = (),
    stop_text: Sequence[str] = (),
    text: Text | None = None,
    seed: int = 0,
    first_row: int = 0,
    memory: State | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """Continue prompts and yield, at every step, (row, token) for each row that is not finished.

    Args:
        model: a language model, or the decoder of an encoder-decoder.
        prompts: lists of tokens, which may differ in length, or a tensor (B, T).
        max_new_tokens: a row ends after this many new tokens at the latest.
        temperature, greedy, top_k, top_p, repetition_penalty, forbidden: see ``Sampling``.
        end: the end-of-sequence token, which ends a row.
        stop: token sequences that end a row.
        stop_text: strings that end a row when its new tokens, decoded by ``text``, contain one.
        text: a tokenizer's ``decode``, needed for ``stop_text``.
        seed: every draw depends on (seed, index of the row, step) only, not on the rest of the batch.
        first_row: the index of the first row: a long list of prompts can be processed in several calls.
        memory: the output of an encoder-decoder's ``encode``, one row per prompt.

    The model is in evaluation mode until the last step, or until the iterator is closed. Raises UsageError for an empty
    batch or prompt, a token outside the vocabulary, prompts that with the new tokens exceed the context, a memory of
    another batch size, and invalid options.
    """
    sampling = Sampling(
        temperature=temperature,
        greedy=greedy,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        forbidden=tuple(forbidden),
    )
    ending = Ending(end, tuple(tuple(tokens) for tokens in stop), tuple(stop_text), text)
    expect_token(model, end, "end")
    rows = read_prompts(model, prompts, max_new_tokens)
    decoder = Decoder(model, memory, rows, max_new_tokens)
    return _steps(decoder, rows, max_new_tokens, sampling, ending, seed, first_row)


@torch.inference_mode()
def _steps(
    decoder: Decoder,
    prompts: list[list[int]],
    max_new_tokens: int,
    sampling: Sampling,
    ending: Ending,
    seed: int,
    first_row: int,
) -> Iterator[list[tuple[int, int]]]:
    written: list[list[int]] = [[] for _ in prompts]
    kept = list(range(len(prompts)))  # the rows in the model's batch, in its order
    finished: set[int] = set()
    with evaluation_mode(decoder.model):
        logits_BV = decoder.begin()
        seen_BV = _seen(decoder, logits_BV.shape[-1]) if sampling.repetition_penalty != 1.0 else None
        for step in range(max_new_tokens):
            uniform_B = uniforms(seed, [first_row + row for row in kept], step).to(decoder.device)
            token_B = sampling.choose(logits_BV, uniform_B, seen_BV)
            new: list[tuple[int, int]] = []
            for row, token in zip(kept, token_B.tolist(), strict=True):
                if row not in finished:
                    written[row].append(token)
                    new.append((row, token))
                    if ending.reached(written[row]):
                        finished.add(row)
            yield new
            if len(finished) == len(prompts) or step == max_new_tokens - 1:
                return
            if seen_BV is not None:
                seen_BV.scatter_(1, token_B[:, None], True)
            places = [place for place, row in enumerate(kept) if row not in finished]
            if 2 * len(places) <= len(kept):  # dropping rows copies the state: worth it once half are finished
                kept = [kept[place] for place in places]
                decoder.select(places)
                token_B = token_B[places]
                seen_BV = None if seen_BV is None else seen_BV[places]
            logits_BV = decoder.step(token_B)


def _seen(decoder: Decoder, vocabulary: int) -> Tensor:
    """Bool (B, V): the tokens of each prompt, without padding."""
    tokens_BT = decoder.prompts_BT
    if decoder.lengths_B is not None:  # a row's last token stands in for its padding
        place_T = torch.arange(tokens_BT.shape[1], device=decoder.device)
        tokens_BT = tokens_BT.gather(1, place_T.minimum(decoder.lengths_B[:, None] - 1))
    return torch.zeros(len(tokens_BT), vocabulary, dtype=torch.bool, device=decoder.device).scatter(1, tokens_BT, True)
