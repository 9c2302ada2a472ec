"""Beam search: the most probable continuations of a prompt, with several hypotheses kept at a time.

Legend: B unfinished rows, K beams, N = B K, C = 2 K candidates, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lamina.decoding.decoder import Decoder, State, expect_token, read_prompts
from lamina.decoding.sampling import forbid
from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode


class Hypothesis(NamedTuple):
    """One continuation of a prompt."""

    tokens: list[int]
    """the new tokens, including ``end`` where it was generated"""
    log_probability: float
    """sum over the tokens"""
    score: float
    """the log-probability divided by the length penalty; hypotheses are ranked by it"""


def length_penalty_of(length: int, alpha: float) -> float:
    """The length penalty ((5 + length) / 6)^alpha (Wu et al. 2016, arXiv 1609.08144, equation 14)."""
    return math.pow((5 + length) / 6, alpha)


@torch.inference_mode()
def beam_search(
    model: nn.Module,
    prompts: Sequence[Sequence[int]] | Tensor,
    *,
    beams: int,
    max_new_tokens: int,
    end: int | None,
    length_penalty: float = 0.6,
    forbidden: Sequence[int] = (),
    memory: State | None = None,
) -> list[list[Hypothesis]]:
    """The ``beams`` best hypotheses found for each prompt, best score first.

    At every step each row keeps its ``beams`` most probable unfinished hypotheses. A continuation by ``end`` that ranks
    among the best ``beams`` continuations is finished and set aside. A row is done when ``beams`` hypotheses are
    finished, or after ``max_new_tokens``, when the unfinished ones are ranked with them.

    Args:
        model: a language model, or the decoder of an encoder-decoder.
        prompts: lists of tokens, or a tensor (B, T); for an encoder-decoder the start token of each row.
        beams: the number of hypotheses kept; 1 is greedy decoding.
        max_new_tokens: the maximum length of a hypothesis, without the prompt.
        end: the end-of-sequence token; None for none.
        length_penalty: alpha of Wu et al. 2016; 0 ranks by log-probability, larger values favour longer hypotheses.
        forbidden: tokens that no hypothesis may have.
        memory: the output of an encoder-decoder's ``encode``, one row per prompt.

    Raises UsageError for fewer than one beam, more beams than tokens in the vocabulary, a negative length penalty, and
    prompts that ``generate`` refuses.
    """
    if beams < 1:
        raise UsageError(f"beams must be at least 1, got {beams}")
    if not 0 <= length_penalty < math.inf:
        raise UsageError(f"length_penalty must be at least 0, got {length_penalty}")
    expect_token(model, end, "end")
    rows = read_prompts(model, prompts, max_new_tokens)
    decoder = Decoder(model, memory, rows, max_new_tokens)
    with evaluation_mode(model):
        logits_BV = decoder.begin()
        if beams > logits_BV.shape[-1]:
            raise UsageError(f"{beams} beams are more than the {logits_BV.shape[-1]} tokens of the vocabulary")
        searches = [_Search(beams, length_penalty) for _ in rows]
        going = searches
        decoder.select([row for row in range(len(rows)) for _ in range(beams)])
        logits_NV = logits_BV.repeat_interleave(beams, 0)
        sums_BK = torch.full((len(rows), beams), -math.inf, dtype=torch.float64, device=decoder.device)
        sums_BK[:, 0] = 0.0  # all beams of a row start equal: only the first counts
        for left in reversed(range(max_new_tokens)):
            sums_BC, beam_BC, token_BC = _candidates(logits_NV, sums_BK, forbidden)
            beams_of, tokens_of = beam_BC.tolist(), token_BC.tolist()
            chosen = [
                search.advance(*candidates, end=end, last=not left)
                for search, *candidates in zip(going, sums_BC.tolist(), beams_of, tokens_of, strict=True)
            ]
            rows_on = [row for row, places in enumerate(chosen) if places]
            if not rows_on:
                break
            going = [going[row] for row in rows_on]
            origin = [row * beams + beams_of[row][place] for row in rows_on for place in chosen[row]]
            if origin != list(range(len(logits_NV))):
                decoder.select(origin)
            place_BK = torch.tensor([chosen[row] for row in rows_on], device=decoder.device)
            sums_BK = sums_BC[rows_on].gather(1, place_BK)
            logits_NV = decoder.step(token_BC[rows_on].gather(1, place_BK).flatten())
    return [search.best() for search in searches]


def _candidates(logits_NV: Tensor, sums_BK: Tensor, forbidden: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The most probable continuations of each row, best first: log-probability, beam and token, (B, C) each.

    Twice as many as beams, so that K remain unfinished where K end; fewer where there are no more. Without
    ``forbidden`` tokens, but log-probabilities are the model's own.
    """
    beams, vocabulary = sums_BK.shape[1], logits_NV.shape[-1]
    logs_NV = forbid(logits_NV.double().log_softmax(-1), forbidden)
    sums_BKV = sums_BK[..., None] + logs_NV.view(-1, beams, vocabulary)
    sums_BC, place_BC = sums_BKV.flatten(1).topk(min(2 * beams, beams * vocabulary))
    return sums_BC, place_BC // vocabulary, place_BC % vocabulary


class _Search:
    """The hypotheses of one prompt."""

    def __init__(self, beams: int, alpha: float) -> None:
        self.beams, self.alpha = beams, alpha
        self.live: list[list[int]] = [[] for _ in range(beams)]
        self.finished: list[Hypothesis] = []

    def advance(
        self, sums: list[float], beams: list[int], tokens: list[int], *, end: int | None, last: bool
    ) -> list[int]:
        """Take the candidates of a step, best first; the indices of those to continue, empty when the row is done."""
        going: list[int] = []
        for place, (total, beam, token) in enumerate(zip(sums, beams, tokens, strict=True)):
            if (token == end or last) and place < self.beams and total > -math.inf:
                self._finish([*self.live[beam], token], total)
            elif token != end and len(going) < self.beams:
                going.append(place)
        if last or len(self.finished) >= self.beams:
            return []
        self.live = [[*self.live[beams[place]], tokens[place]] for place in going]
        return going

    def _finish(self, tokens: list[int], total: float) -> None:
        score = total / length_penalty_of(len(tokens), self.alpha)
        self.finished.append(Hypothesis(tokens, total, score))

    def best(self) -> list[Hypothesis]:
        """The best hypotheses, best first; ties are in the order found."""
        return sorted(self.finished, key=lambda hypothesis: -hypothesis.score)[: self.beams]
