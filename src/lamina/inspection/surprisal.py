"""How likely a model held each token of a text to be, and what it expected in its place.

Legend: T tokens, V vocabulary, K alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode

CHUNK = 512
"""tokens read at once by a model that carries its state on"""


@dataclass(frozen=True, kw_only=True)
class TokenSurprisal:
    """What was expected at each of T places, and what came."""

    token_T: Tensor
    """what came"""
    probability_T: Tensor
    """of what came"""
    likeliest_TK: Tensor
    """the likeliest tokens, likeliest first"""
    likeliest_probability_TK: Tensor

    @property
    def bits(self) -> Tensor:
        """(T,) surprise: -log2 of the probability, in double precision."""
        return -self.probability_T.double().log2()


def token_surprisal(logits_TV: Tensor, token_T: Tensor, alternatives: int = 5) -> TokenSurprisal:
    """What logits say of the tokens that came: row t of the logits is of token t."""
    probability_TV = logits_TV.double().softmax(-1)
    likeliest = probability_TV.topk(min(alternatives, probability_TV.shape[-1]), dim=-1)
    return TokenSurprisal(
        token_T=token_T,
        probability_T=probability_TV.gather(1, token_T[:, None].long())[:, 0],
        likeliest_TK=likeliest.indices,
        likeliest_probability_TK=likeliest.values,
    )


def text_surprisal(model: nn.Module, tokens_T: Tensor, *, alternatives: int = 5) -> TokenSurprisal:
    """What a language model expects at each token of a text but the first, (T - 1); the text may be longer than a
    model's context: each token then has at least half of it before it.

    Raises UsageError for fewer than two tokens, and what the model does not take.
    """
    if tokens_T.ndim != 1 or len(tokens_T) < 2:
        raise UsageError(f"a text of at least two tokens is read, got {tuple(tokens_T.shape)}")
    context = getattr(getattr(model, "config", None), "context", None)
    parts: list[TokenSurprisal] = []
    with evaluation_mode(model), torch.no_grad():
        try:
            state: Any = None
            begin = 0  # of the part that the model reads now
            told = 0  # tokens that were told already
            while told < len(tokens_T) - 1:
                end = min(begin + (CHUNK if context is None else context), len(tokens_T) - 1)
                read_1T = tokens_T[None, begin:end]
                said = model(read_1T) if state is None else model(read_1T, state)
                logits_TV = said[0] if isinstance(said, Tensor) else said[0][0]
                state = None if isinstance(said, Tensor) or context is not None else said[1]
                parts.append(token_surprisal(logits_TV[told - begin :], tokens_T[told + 1 : end + 1], alternatives))
                told = end
                begin = end if context is None else end - context // 2
        except ValueError as error:
            raise UsageError(str(error)) from error
    names = ("token_T", "probability_T", "likeliest_TK", "likeliest_probability_TK")
    return TokenSurprisal(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def most_surprising(bits_T: Tensor, count: int, apart: int = 1) -> list[int]:
    """The places of the ``count`` greatest surprises, greatest first, each at least ``apart`` from those before it."""
    chosen: list[int] = []
    for place in bits_T.argsort(descending=True, stable=True).tolist():
        if len(chosen) == count:
            break
        if all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    return chosen
