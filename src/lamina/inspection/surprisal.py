"""Surprisal: the probability that a language model gives to each token of a text, and the likelier alternatives.

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
"""tokens per forward pass of a model that carries its state"""


@dataclass(frozen=True, kw_only=True)
class TokenSurprisal:
    """The predicted probabilities of T tokens."""

    token_T: Tensor
    """the actual tokens"""
    probability_T: Tensor
    """of the actual tokens"""
    likeliest_TK: Tensor
    """the K most probable tokens, most probable first"""
    likeliest_probability_TK: Tensor
    """their probabilities"""

    @property
    def bits(self) -> Tensor:
        """The surprisal (T,): -log2 of the probability, in float64."""
        return -self.probability_T.double().log2()


def token_surprisal(logits_TV: Tensor, token_T: Tensor, alternatives: int = 5) -> TokenSurprisal:
    """The surprisal of ``token_T`` under ``logits_TV``, whose row t predicts token t."""
    probability_TV = logits_TV.double().softmax(-1)
    likeliest = probability_TV.topk(min(alternatives, probability_TV.shape[-1]), dim=-1)
    return TokenSurprisal(
        token_T=token_T,
        probability_T=probability_TV.gather(1, token_T[:, None].long())[:, 0],
        likeliest_TK=likeliest.indices,
        likeliest_probability_TK=likeliest.values,
    )


def text_surprisal(model: nn.Module, tokens_T: Tensor, *, alternatives: int = 5) -> TokenSurprisal:
    """The surprisal of every token of a text but the first: T - 1 tokens.

    The text may be longer than the model's context: it is then read in windows that overlap by half, so that every
    token has at least half a context before it. A model without a context carries its state through the text. The model
    runs in evaluation mode. Raises UsageError for fewer than two tokens, and for tokens that the model does not accept.

        text_surprisal(model, tokens_T).bits.mean()  # bits per token
    """
    if tokens_T.ndim != 1 or len(tokens_T) < 2:
        raise UsageError(f"expected a text of at least two tokens (T,), got {tuple(tokens_T.shape)}")
    context = getattr(getattr(model, "config", None), "context", None)
    parts: list[TokenSurprisal] = []
    with evaluation_mode(model), torch.no_grad():
        try:
            state: Any = None
            begin = 0  # of the window
            done = 0  # tokens predicted so far
            while done < len(tokens_T) - 1:
                end = min(begin + (CHUNK if context is None else context), len(tokens_T) - 1)
                window_1T = tokens_T[None, begin:end]
                output = model(window_1T) if state is None else model(window_1T, state)
                logits_TV = output[0] if isinstance(output, Tensor) else output[0][0]
                state = None if isinstance(output, Tensor) or context is not None else output[1]
                parts.append(token_surprisal(logits_TV[done - begin :], tokens_T[done + 1 : end + 1], alternatives))
                done = end
                begin = end if context is None else end - context // 2
        except ValueError as error:
            raise UsageError(str(error)) from error
    names = ("token_T", "probability_T", "likeliest_TK", "likeliest_probability_TK")
    return TokenSurprisal(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def most_surprising(bits_T: Tensor, count: int, apart: int = 1) -> list[int]:
    """The positions of the ``count`` largest values, largest first, each at least ``apart`` from those before it."""
    chosen: list[int] = []
    for place in bits_T.argsort(descending=True, stable=True).tolist():
        if len(chosen) == count:
            break
        if all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    return chosen
