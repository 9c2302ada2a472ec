"""Beam search against exhaustive search, greedy decoding, and a search in plain loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from decoding_toys import AttentionToy, Memory, RecurrentToy, greedy_by_prefix, next_logits

from lamina.decoding import Hypothesis, beam_search
from lamina.errors import UsageError

PROMPTS = [[1, 2, 3, 0], [3], [2, 0, 2]]
TOYS = pytest.mark.parametrize("toy", [RecurrentToy, AttentionToy])


def penalty(length: int, alpha: float) -> float:
    return float(((5 + length) / 6) ** alpha)


def plain_search(
    model: Any, prompt: list[int], beams: int, count: int, end: int | None, alpha: float
) -> list[tuple[float, list[int]]]:
    """The same search, one prompt, whole prefixes, sorted lists: (score, tokens), best first."""
    live, finished = [(0.0, list[int]())], []
    for step in range(count):
        continued = []
        for total, tokens in live:
            shares = next_logits(model, prompt + tokens).log_softmax(0).tolist()
            continued += [(total + share, [*tokens, token]) for token, share in enumerate(shares)]
        continued.sort(key=lambda pair: -pair[0])
        last = step == count - 1
        for total, tokens in continued[:beams]:
            if tokens[-1] == end or last:
                finished.append((total / penalty(len(tokens), alpha), tokens))
        if len(finished) >= beams or last:
            break
        live = [pair for pair in continued if pair[1][-1] != end][:beams]
    return sorted(finished, key=lambda pair: -pair[0])[:beams]


@TOYS
@pytest.mark.parametrize(
    ("beams", "alpha", "end"), [(1, 0.6, 0), (2, 0.0, 3), (3, 0.6, 1), (4, 1.0, 2), (4, 0.6, None)]
)
def test_it_is_the_search_of_plain_loops(toy: Any, beams: int, alpha: float, end: int | None) -> None:
    model = toy(vocabulary=4, seed=3)
    got = beam_search(model, PROMPTS, beams=beams, max_new_tokens=6, end=end, length_penalty=alpha)
    for prompt, hypotheses in zip(PROMPTS, got, strict=True):
        wanted = plain_search(model, prompt, beams, 6, end, alpha)
        assert [hypothesis.tokens for hypothesis in hypotheses] == [tokens for _, tokens in wanted]
        assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx([score for score, _ in wanted])


@TOYS
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_beams_as_tokens_find_the_best_of_all_of_two_tokens(toy: Any, alpha: float, seed: int) -> None:
    model, end = toy(vocabulary=5, seed=seed), 0
    for prompt in PROMPTS:
        scored = []
        for tokens in [[end], *([a, b] for a, b in itertools.product(range(5), repeat=2) if a != end)]:
            total = sum(
                next_logits(model, prompt + tokens[:place]).log_softmax(0)[token].item()
                for place, token in enumerate(tokens)
            )
            scored.append((total / penalty(len(tokens), alpha), tokens))
        score, tokens = max(scored)
        found = beam_search(model, [prompt], beams=5, max_new_tokens=2, end=end, length_penalty=alpha)[0][0]
        assert found.tokens == tokens
        assert found.score == pytest.approx(score)


@TOYS
def test_one_beam_is_greedy(toy: Any) -> None:
    model = toy()
    for end in (None, *range(7)):
        got = beam_search(model, PROMPTS, beams=1, max_new_tokens=8, end=end)
        assert [[h.tokens for h in found] for found in got] == [[greedy_by_prefix(model, p, 8, end)] for p in PROMPTS]


def test_a_beam_finds_what_greedy_misses() -> None:
    """A tree in which the likelier first token leads nowhere: 0.6 * 0.4 against 0.4 * 0.9."""

    class Tree(AttentionToy):
        def forward(self, tokens_BT: Any, state: Any = None, lengths: Any = None) -> Any:
            _, state = super().forward(tokens_BT, state, lengths)
            table = torch.tensor([[0.0, 0.6, 0.4], [0.3, 0.3, 0.4], [0.05, 0.05, 0.9]], dtype=torch.float64)
            return table[tokens_BT].log(), state

    model = Tree(vocabulary=3)
    assert greedy_by_prefix(model, [0], 2) == [1, 2]
    ((best, second),) = beam_search(model, [[0]], beams=2, max_new_tokens=2, end=None, length_penalty=0.0)
    assert best == Hypothesis([2, 2], pytest.approx(math.log(0.36)), pytest.approx(math.log(0.36)))
    assert second.tokens == [1, 2]


def test_the_length_penalty_is_that_of_the_paper() -> None:
    model = RecurrentToy(vocabulary=4, seed=3)
    for hypothesis in beam_search(model, [[1]], beams=4, max_new_tokens=6, end=2, length_penalty=0.7)[0]:
        wanted = hypothesis.log_probability / ((5 + len(hypothesis.tokens)) / (5 + 1)) ** 0.7
        assert hypothesis.score == pytest.approx(wanted)
    short = beam_search(model, PROMPTS, beams=4, max_new_tokens=6, end=2, length_penalty=0.0)
    long = beam_search(model, PROMPTS, beams=4, max_new_tokens=6, end=2, length_penalty=8.0)
    assert sum(len(found[0].tokens) for found in long) > sum(len(found[0].tokens) for found in short)


def test_each_row_has_its_memory() -> None:
    model = RecurrentToy(vocabulary=4)
    bias = 3 * torch.eye(4, dtype=torch.float64)[:3]
    got = beam_search(model, [[1]] * 3, beams=3, max_new_tokens=5, end=3, memory=Memory(bias))
    for row, found in enumerate(got):
        memory = Memory(bias[row : row + 1])
        (alone,) = beam_search(model, [[1]], beams=3, max_new_tokens=5, end=3, memory=memory)
        assert [h.tokens for h in found] == [h.tokens for h in alone]
    assert len({str([h.tokens for h in found]) for found in got}) == 3, "the memory tells the rows apart"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams must be at least 1, got 0"),
        ({"beams": 8}, "8 beams are more than the 7 tokens of the vocabulary"),
        ({"length_penalty": -0.1}, "length_penalty must be at least 0, got -0.1"),
        ({"end": -1}, "end is token -1, which is not in the vocabulary"),
        ({"max_new_tokens": 40}, "prompt 0 has 1 tokens and 40 new ones, which exceeds the context of 32"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        beam_search(AttentionToy(), [[1]], **{"beams": 2, "max_new_tokens": 3, "end": 0, **options})
    assert str(error.value) == message
