"""Which words a classifier of texts leans on: what it says when one is taken out (occlusion; Li, Monroe, Jurafsky 2016,
"Understanding neural networks through representation erasure", arXiv 1612.08220).

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
"""(tokens (B, T), lengths (B,)) -> what a model says of each row, (B, K): probabilities, or values"""
ROWS = 64
"""texts said at once"""


def word_effects(say: Predictor, tokens: Sequence[int], words: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
    """What each word adds to what the model says, (W, K): said of the text, less said of the text without the word.

    ``words``: the places of each one's tokens. Where nothing would be left, ``filler`` stands in their place.
    """
    shorter = []
    for places in words:
        out = set(places)
        shorter.append([token for place, token in enumerate(tokens) if place not in out] or [filler])
    said_BK = _said(say, [list(tokens), *shorter])
    return said_BK[:1] - said_BK[1:]


@dataclass(frozen=True, kw_only=True)
class WordAttribution:
    """A word of several texts, and what it adds to one output."""

    word: str
    effect: float
    """mean over its occurrences of what the model says with it, less without it"""
    count: int


def strongest_words(
    found: Iterable[tuple[str, Tensor]], output: int, most: int = 15, least: int = 3
) -> tuple[list[WordAttribution], list[WordAttribution]]:
    """The words that speak most for an output and most against it, most telling first.

    ``found``: a word and its effects (K,) for each occurrence. Words that occur less than ``least`` times are left out:
    one text says little of a word.
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


def _said(say: Predictor, rows: Sequence[Sequence[int]]) -> Tensor:
    parts = []
    for first in range(0, len(rows), ROWS):
        some = rows[first : first + ROWS]
        longest = max(map(len, some))
        tokens_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in some])
        parts.append(say(tokens_BT, torch.tensor([len(row) for row in some])).float().cpu())
    return torch.cat(parts)
