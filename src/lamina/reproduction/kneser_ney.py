"""An n-gram language model with interpolated modified Kneser-Ney smoothing: a baseline.

Source: Chen, Goodman, "An empirical study of smoothing techniques for language modeling", Harvard TR-10-98, section 3
(equations 26 to 28); Kneser, Ney, ICASSP 1995.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

Gram = tuple[int, ...]

ABSOLUTE = 0.5
"""discount where the text is too short to estimate one"""


class KneserNey:
    """p(w | h) = max(c(hw) - D(c(hw)), 0) / c(h.) + g(h) p(w | h without its first word).

    Counts c of the highest order are how often an n-gram occurs, those below how many different words it follows; D is
    one number each for counts of 1, of 2 and of more; g(h) is the mass that they free. Below single words stands the
    uniform distribution over the ``vocabulary``.
    """

    def __init__(self, tokens: Sequence[int], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.levels: list[_Level] = []
        """from words alone to the highest order"""
        for length in range(1, order):
            self.levels.append(_Level(Counter(gram[1:] for gram in set(_grams(tokens, length + 1)))))
        self.levels.append(_Level(Counter(_grams(tokens, order))))

    def probability(self, history: Gram, word: int) -> float:
        """Of a word after a history, of which the last ``order`` - 1 words count."""
        p = 1 / self.vocabulary
        for length, level in enumerate(self.levels):
            h = history[len(history) - length :] if length else ()
            total = level.totals.get(h, 0)
            if len(h) < length or total == 0:  # an unseen history; longer ones are unseen too
                break
            count = level.counts.get((*h, word), 0)
            p = (max(count - level.discount(count), 0.0) + level.freed[h] * p) / total
        return p

    def perplexity(self, tokens: Sequence[int]) -> float:
        """Of running text, every token predicted from those before it; the first without a history."""
        reach = self.order - 1
        nats = 0.0
        for i, word in enumerate(tokens):
            nats -= math.log(self.probability(tuple(tokens[max(0, i - reach) : i]), word))
        return math.exp(nats / len(tokens))


class _Level:
    """The counts of one order, their discounts, and the mass freed for the order below."""

    def __init__(self, counts: Counter[Gram]) -> None:
        self.counts = counts
        of = Counter(counts.values())  # how many n-grams have a count of 1, 2, 3, 4
        share = of[1] / (of[1] + 2 * of[2]) if of[1] else ABSOLUTE
        self.discounts = [0.0]
        for r in (1, 2, 3):
            estimate = r - (r + 1) * share * of[r + 1] / of[r] if of[r] else 0.0
            self.discounts.append(estimate if 0 < estimate <= r else ABSOLUTE)  # too little text to estimate it from
        self.totals: defaultdict[Gram, int] = defaultdict(int)
        self.freed: defaultdict[Gram, float] = defaultdict(float)
        for gram, count in counts.items():
            self.totals[gram[:-1]] += count
            self.freed[gram[:-1]] += self.discount(count)

    def discount(self, count: int) -> float:
        return self.discounts[min(count, 3)]


def _grams(tokens: Sequence[int], length: int) -> Iterator[Gram]:
    return zip(*(tokens[i:] for i in range(length)), strict=False)
