"""Word attribution by occlusion: how a classifier's prediction changes when a word is left out (Li, Monroe, Jurafsky
2016, "Understanding neural networks through representation erasure", arXiv 1612.08220).

Legend: W words, K outputs, B rows, T tokens.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Predictor = Callable[[Tensor, Tensor], Tensor]
"""(tokens (B, T), lengths (B,)) -> predictions (B, K): probabilities, or values of a regression"""
ROWS = 64
"""texts per batch"""


def word_effects(predict: Predictor, tokens: Sequence[int], words: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
    """The effect of each word on each output, (W, K): the prediction for the text minus that for the text without the
    word.

    ``words``: the positions of each word's tokens in ``tokens``. A text that would be left empty becomes ``filler``.
    """
    shorter = []
    for places in words:
        out = set(places)
        shorter.append([token for place, token in enumerate(tokens) if place not in out] or [filler])
    outputs_BK = _predict_all(predict, [list(tokens), *shorter])
    return outputs_BK[:1] - outputs_BK[1:]


@dataclass(frozen=True, kw_only=True)
class WordAttribution:
    """A word and its effect on one output, over several texts."""

    word: str
    effect: float
    """mean of its ``word_effects`` over its occurrences"""
    count: int
    """number of occurrences"""


def strongest_words(
    found: Iterable[tuple[str, Tensor]], output: int, most: int = 15, least: int = 3
) -> tuple[list[WordAttribution], list[WordAttribution]]:
    """The words with the largest positive and the largest negative mean effect on an output, strongest first.

    ``found``: a word and its effects (K,) for each occurrence. At most ``most`` words are returned on either side;
    words with fewer than ``least`` occurrences are left out, because a single text says little about a word.
    """
    effects: dict[str, list[float]] = defaultdict(list)
    for word, effect_K in found:
        effects[word].append(float(effect_K[output]))
    rows = [
        WordAttribution(word=word, effect=statistics.fmean(values), count=len(values))
        for word, values in effects.items()
        if len(values) >= least
    ]
    rows.sort(key=lambda row: (-row.effect, row.word))
    return [row for row in rows[:most] if row.effect > 0], [row for row in rows[::-1][:most] if row.effect < 0]


def _predict_all(predict: Predictor, rows: Sequence[Sequence[int]]) -> Tensor:
    parts = []
    for first in range(0, len(rows), ROWS):
        some = rows[first : first + ROWS]
        longest = max(map(len, some))
        tokens_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in some])
        parts.append(predict(tokens_BT, torch.tensor([len(row) for row in some])).float().cpu())
    return torch.cat(parts)
