"""Choosing the next token from its logits: filters, and draws that do not depend on the rest of the batch.

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

EXTREME = 1e9
"""beyond this logits are no numbers any more"""


def forbid(logits_BV: Tensor, forbidden: Sequence[int]) -> Tensor:
    """The logits with no probability left for the ``forbidden`` tokens."""
    if not forbidden:
        return logits_BV
    return logits_BV.index_fill(-1, torch.tensor(forbidden, device=logits_BV.device), -math.inf)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. Raises UsageError for invalid values."""

    temperature: float = 1.0
    """divides the logits: below 1 the distribution is sharper"""
    greedy: bool = False
    """always the most probable token (the first of equals); temperature, top_k and top_p are then ignored"""
    top_k: int | None = None
    """sample from the k most probable tokens, and any that tie with the k-th; more than the vocabulary means all"""
    top_p: float | None = None
    """sample from the smallest set of most probable tokens whose probabilities sum to at least this"""
    repetition_penalty: float = 1.0
    """above 1, tokens of the prompt and the continuation become less probable; see ``penalise_repetition``"""
    forbidden: tuple[int, ...] = ()
    """tokens that are never chosen: padding, or the mark of an unknown word"""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            advice = "; greedy=True takes the most probable token" if self.temperature == 0 else ""
            raise UsageError(f"temperature must be above 0, got {self.temperature}{advice}")
        if not 1 / EXTREME <= self.temperature <= EXTREME:
            raise UsageError(f"temperature must lie between {1 / EXTREME:g} and {EXTREME:g}, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must lie in (0, 1], got {self.top_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise UsageError(f"repetition_penalty must be above 0, got {self.repetition_penalty}")
        if not 1 / EXTREME <= self.repetition_penalty <= EXTREME:
            lies = f"between {1 / EXTREME:g} and {EXTREME:g}"
            raise UsageError(f"repetition_penalty must lie {lies}, got {self.repetition_penalty}")

    def choose(self, logits_BV: Tensor, uniform_B: Tensor, seen_BV: Tensor | None = None) -> Tensor:
        """One token per row, (B,): repetition penalty, temperature, top_k and top_p in this order, then the draw.

        ``uniform_B``: a uniform number in [0, 1) per row, which decides its draw. ``seen_BV``: True for the tokens that
        the repetition penalty applies to.
        """
        logits_BV = forbid(logits_BV, self.forbidden)
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
    """The logits of seen tokens divided by ``penalty`` where positive, multiplied by it where negative (Keskar et al.
    2019, CTRL, arXiv 1909.05858; the multiplication follows their code)."""
    penalised_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return torch.where(seen_BV, penalised_BV, logits_BV)


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """-inf for all but the k largest logits of each row and those equal to the k-th (Fan et al. 2018, 1805.04833)."""
    least_B1 = logits_BV.topk(min(k, logits_BV.shape[-1])).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < least_B1, -math.inf)


def keep_top_p(logits_BV: Tensor, p: float) -> Tensor:
    """-inf outside each row's nucleus, the smallest set of most probable tokens whose probabilities sum to at least p
    (Holtzman et al. 2020, arXiv 1904.09751). Among equal logits the first are kept; one token always is."""
    sorted_BV, order_BV = logits_BV.sort(descending=True, stable=True)
    share_BV = sorted_BV.softmax(-1)
    before_BV = share_BV.cumsum(-1) - share_BV
    out_BV = before_BV >= p
    out_BV[:, 0] = False
    return logits_BV.masked_fill(torch.zeros_like(out_BV).scatter(1, order_BV, out_BV), -math.inf)


def draw(logits_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Inverse transform sampling: the first token at which a row's cumulative softmax exceeds its uniform number."""
    total_BV = logits_BV.double().softmax(-1).cumsum(-1)
    found_B1 = torch.searchsorted(total_BV, (uniform_B * total_BV[:, -1])[:, None], right=True)
    return found_B1[:, 0]


def uniforms(seed: int, rows: Sequence[int], step: int) -> Tensor:
    """A uniform number in [0, 1) per row, (B,): a pure function of (seed, row, step)."""
    # 48 bits: 1 - 2^-48 times a sum of doubles stays below that sum, so a draw always finds a token
    return torch.tensor([(derive(seed, "draw", row, step) >> 15) / 2**48 for row in rows], dtype=torch.float64)
