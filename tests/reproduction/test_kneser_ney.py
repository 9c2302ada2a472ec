"""The n-gram model against its formula written out, and against what is published of it."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from lamina.reproduction.kneser_ney import KneserNey

WORDS = 60
TEXT = random.Random(0).choices(range(WORDS - 1), [1 / (k + 1) for k in range(WORDS - 1)], k=700)  # the last never is
Words = tuple[int, ...]


def by_formula(text: list[int], n: int, history: Words, word: int, vocabulary: int, top: bool = True) -> float:
    """Chen, Goodman 1998, section 3, each count looked up in the text itself."""
    if n == 0:
        return 1 / vocabulary
    grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    if top:
        counts = Counter(grams)
    else:  # how many different words stand before: only where one does
        longer = {tuple(text[i : i + n + 1]) for i in range(len(text) - n)}
        counts = Counter(gram[1:] for gram in longer)
    of = Counter(counts.values())
    y = of[1] / (of[1] + 2 * of[2])
    d = [0, 1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]]
    h = history[len(history) - n + 1 :] if n > 1 else ()
    followers = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == h}
    below = by_formula(text, n - 1, history, word, vocabulary, top=False)
    if not followers:
        return below
    freed = sum(d[min(count, 3)] for count in followers.values())
    count = followers.get(word, 0)
    return (max(count - d[min(count, 3)], 0) + freed * below) / sum(followers.values())


@pytest.mark.parametrize("history", [(), (0,), (0, 0), (1, 0), (5, 58), (2, WORDS - 1)])
@pytest.mark.parametrize("order", [2, 3])
def test_every_probability_is_the_formulas_and_they_add_up_to_one(history: Words, order: int) -> None:
    model = KneserNey(TEXT, order, WORDS)
    said = [model.probability(history, word) for word in range(WORDS)]
    assert sum(said) == pytest.approx(1, rel=1e-12)
    assert min(said) > 0, "a word never seen, too"
    if len(history) == order - 1:
        some = range(0, WORDS, 7)
        expected = [by_formula(TEXT, order, history, word, WORDS) for word in some]
        assert [said[word] for word in some] == pytest.approx(expected, rel=1e-12)


def test_a_text_too_short_to_estimate_from_still_gives_probabilities() -> None:
    for text in ([0], [0, 1], [0, 1] * 50):
        for order in (1, 3, 5):
            assert sum(KneserNey(text, order, 3).probability((0,), word) for word in range(3)) == pytest.approx(1)


def test_perplexity_is_of_running_text() -> None:
    model = KneserNey(TEXT, 3, WORDS)
    held_out = [0, 1, 4, 0, WORDS - 1]
    nats = -sum(math.log(model.probability(tuple(held_out[:i]), word)) for i, word in enumerate(held_out))
    assert model.perplexity(held_out) == pytest.approx(math.exp(nats / 5), rel=1e-12)
    assert model.perplexity(TEXT) < model.perplexity(TEXT[::-1]) / 2, "it knows the order of what it has read"


@pytest.mark.slow
def test_on_the_penn_treebank_it_is_what_is_published() -> None:
    """Mikolov et al. 2011 (ICASSP, table 2): a Kneser-Ney 5-gram has a test perplexity of 141.2."""
    folder = Path(os.environ.get("LAMINA_DATA", "")) / "ptb"
    if not folder.is_dir():
        pytest.skip("LAMINA_DATA names no folder with ptb/")
    text = {name: (folder / f"ptb.{name}.txt").read_text() for name in ("train", "test")}
    words = {name: [w for line in lines.splitlines() for w in [*line.split(), ""]] for name, lines in text.items()}
    place = {word: i for i, word in enumerate(dict.fromkeys(words["train"]))}
    train, test = ([place[word] for word in words[name]] for name in ("train", "test"))
    assert KneserNey(train, 5, len(place)).perplexity(test) == pytest.approx(141.2, abs=0.5)
