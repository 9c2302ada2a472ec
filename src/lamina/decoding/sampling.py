"""From the logits of the next token to a token: filters, and draws that no neighbour in the batch can change.

Legend: B batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.errors import UsageError
from lamina.randomness import derive


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen. Raises UsageError for values that mean nothing."""

    temperature: float = 1.0
    """logits are divided by it: below 1 the likely becomes likelier"""
    greedy: bool = False
    """always the most probable token (of equals the first); temperature, top_k and top_p do not matter then"""
    top_k: int | None = None
    """draw among the k most probable tokens, and those as probable as the k-th; beyond the vocabulary: among all"""
    top_p: float | None = None
    """draw among the fewest most probable tokens that hold this share of the probability"""
    repetition_penalty: float = 1.0
    """above 1: tokens that the prompt or the continuation holds become less probable, each by the same factor"""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            advice = "; greedy=True takes the most probable token" if self.temperature == 0 else ""
            raise UsageError(f"temperature must be above 0, got {self.temperature}{advice}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must lie in (0, 1], got {self.top_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise UsageError(f"repetition_penalty must be above 0, got {self.repetition_penalty}")

    def choose(self, logits_BV: Tensor, uniform_B: Tensor, seen_BV: Tensor | None = None) -> Tensor:
        """One token for each row, (B,): penalty, temperature, top_k and top_p in this order, then the draw.

        ``uniform_B``: a number in [0, 1) for each row, which decides its draw. ``seen_BV``: True for the tokens that
        count as repeated.
        """
        if seen_BV is not None:
            logits_BV = penalise_repetition(logits_BV.double(), seen_BV, self.repetition_penalty)
        if self.greedy:
            return logits_BV.argmax(-1)
        logits_BV = logits_BV.double() / self.temperature
        if self.top_k is not None:
            logits_BV = keep_top_k(logits_BV, self.top_k)
        if self.top_p is not None:
            logits_BV = keep_top_p(logits_BV, self.top_p)
        return draw(logits_BV, uniform_B)


def penalise_repetition(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Logits of seen tokens divided by ``penalty`` where positive, multiplied where negative (Keskar et al. 2019, CTRL,
    arXiv 1909.05858; the multiplication is what their code does)."""
    penalised_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return torch.where(seen_BV, penalised_BV, logits_BV)


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """-inf for all but the k largest logits of a row and those equal to the k-th (Fan et al. 2018, 1805.04833)."""
    least_B1 = logits_BV.topk(min(k, logits_BV.shape[-1])).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < least_B1, -math.inf)


def keep_top_p(logits_BV: Tensor, p: float) -> Tensor:
    """-inf for all but a row's nucleus: the fewest most probable tokens whose probabilities sum to at least p (Holtzman
    et al. 2020, arXiv 1904.09751). Of equal logits the first stay; one token always does."""
    sorted_BV, order_BV = logits_BV.sort(descending=True, stable=True)
    share_BV = sorted_BV.softmax(-1)
    before_BV = share_BV.cumsum(-1) - share_BV
    out_BV = before_BV >= p
    out_BV[:, 0] = False
    return logits_BV.masked_fill(torch.zeros_like(out_BV).scatter(1, order_BV, out_BV), -math.inf)


def draw(logits_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The token at which the distribution function of a row's softmax exceeds the row's uniform number in [0, 1)."""
    total_BV = logits_BV.double().softmax(-1).cumsum(-1)
    found_B1 = torch.searchsorted(total_BV, (uniform_B * total_BV[:, -1])[:, None], right=True)
    return found_B1[:, 0]


def uniforms(seed: int, rows: Sequence[int], step: int) -> Tensor:
    """A uniform number for each row, a pure function of (seed, row, step)."""
    # 48 bits: 1 - 2^-48 times a sum of doubles stays below that sum, so a draw always finds a token
    return torch.tensor([(derive(seed, "draw", row, step) >> 15) / 2**48 for row in rows], dtype=torch.float64)
