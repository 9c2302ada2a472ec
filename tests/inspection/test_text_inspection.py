"""Surprisal, gradients by lag and word attribution, against calculations by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.inspection import (
    gradient_by_lag,
    inspect_classified_text,
    inspect_running_text,
    inspect_translation,
    most_surprising,
    strongest_words,
    text_surprisal,
    token_surprisal,
    word_effects,
)

LSTM = {"vocab_size": 11, "embedding_dim": 4, "hidden_size": 6}
GPT = {"vocab_size": 11, "layers": 1, "width": 8, "heads": 2, "context": 8}


def model_of(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return lamina.create_model(name, **options).double()


# ---------------------------------------------------------------- surprisal


def test_surprisal_from_logits() -> None:
    found = token_surprisal(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log(), torch.tensor([1, 2]), 2)
    torch.testing.assert_close(found.bits, torch.tensor([2.0, -math.log2(0.8)]).double())
    assert found.likeliest_TK[0, 0] == 0
    assert found.likeliest_TK[1, 0] == 2
    torch.testing.assert_close(found.likeliest_probability_TK[:, 0], torch.tensor([0.5, 0.8]).double())


def test_a_long_text_is_read_with_its_state() -> None:
    model = model_of("lstm-lm", **LSTM)
    tokens = torch.randint(11, (1200,))  # two chunks and a half
    found = text_surprisal(model, tokens)
    with torch.no_grad():
        log_p = model.eval()(tokens[None, :-1])[0][0].log_softmax(-1)
    wanted = -log_p.gather(1, tokens[1:, None])[:, 0] / math.log(2)
    torch.testing.assert_close(found.bits, wanted)
    assert torch.equal(found.token_T, tokens[1:])


@pytest.mark.parametrize("length", [2, 8, 9, 10, 13, 30])
def test_a_context_slides_over_a_long_text(length: int) -> None:
    model = model_of("transformer-lm", **GPT)
    tokens = torch.randint(11, (length,))
    found = text_surprisal(model, tokens)
    assert torch.equal(found.token_T, tokens[1:])
    for t in (1, length // 2, length - 1):
        # the windows begin every 4 tokens, from the first that leaves t in its second half
        begin = 0 if t <= 8 else -(-(t - 8) // 4) * 4
        with torch.no_grad():
            wanted = model.eval()(tokens[None, begin:t])[0][0, -1].softmax(-1)[tokens[t]]
        torch.testing.assert_close(found.probability_T[t - 1], wanted)


def test_the_most_surprising_are_apart() -> None:
    bits = torch.tensor([1.0, 9.0, 8.0, 0.0, 7.0, 2.0])
    assert most_surprising(bits, 3) == [1, 2, 4]
    assert most_surprising(bits, 3, apart=3) == [1, 4]
    assert most_surprising(bits, 10) == [1, 2, 4, 5, 0, 3]


# ---------------------------------------------------------------- gradients by lag


@pytest.mark.parametrize("most", [64, 2])
def test_the_gradient_of_a_sum_of_the_past(most: int) -> None:
    """Logits that add up the embeddings of the past, each weighted 1/2 for every step back."""

    class Fading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 5)
            self.position = nn.Embedding(9, 5)

        def forward(self, tokens: Tensor) -> Tensor:
            steps = torch.arange(tokens.shape[1])
            weight = torch.tril(0.5 ** (steps[:, None] - steps).clamp(min=0).double())
            return weight @ self.embedding(tokens) + 0 * self.position(steps)

    torch.manual_seed(0)
    model = Fading().double()
    model.requires_grad_(False)  # frozen weights change nothing
    tokens = torch.tensor([[0, 1, 2, 3, 4, 0]])
    lag_T = gradient_by_lag(model, tokens, most=most)
    error_TV = model(tokens[:, :-1])[0].softmax(-1) - F.one_hot(tokens[0, 1:], 5)  # d loss / d logits
    norm_T = error_TV.norm(dim=1)
    for lag in range(5):
        told = [t for t in range(5) if t >= max(lag, 5 - most)]
        wanted = sum(norm_T[t] * 0.5**lag for t in told) / len(told)
        assert float(lag_T[lag]) == pytest.approx(float(wanted), rel=1e-5)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("name", ["lstm-lm", "transformer-lm"])
def test_gradients_by_lag_are_derivatives(name: str) -> None:
    model = model_of(name, **(LSTM if name == "lstm-lm" else GPT | {"tied": False}), dropout=0.5).train()
    embedding = model.embedding if name == "lstm-lm" else model.tokens
    tokens = torch.tensor([[3, 7, 4, 1, 5]])  # 7 stands there alone, two steps before the last prediction
    lag_T = gradient_by_lag(model, tokens, most=1)
    assert model.training
    model.eval()
    slope = torch.zeros(embedding.weight.shape[1])
    with torch.no_grad():
        for unit in range(len(slope)):
            losses = []
            for step in (1e-5, -2e-5):
                embedding.weight[7, unit] += step
                losses.append(F.cross_entropy(model(tokens[:, :-1])[0][0, -1], tokens[0, -1]))
            embedding.weight[7, unit] += 1e-5
            slope[unit] = (losses[0] - losses[1]) / 2e-5
    assert float(lag_T[2]) == pytest.approx(float(slope.norm()), rel=1e-4)


def test_models_without_a_lag() -> None:
    with pytest.raises(UsageError, match="at least two tokens"):
        gradient_by_lag(model_of("lstm-lm", **LSTM), torch.tensor([[1]]))
    with pytest.raises(UsageError, match="Linear has no embedding"):
        gradient_by_lag(nn.Linear(2, 5), torch.tensor([[1.0, 2.0, 3.0]]))
    with pytest.raises(UsageError, match="at least two tokens"):
        text_surprisal(model_of("lstm-lm", **LSTM), torch.tensor([1]))


# ---------------------------------------------------------------- words


def counting(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Says of each row how many 1s it has, and how many tokens."""
    real = torch.arange(tokens_BT.shape[1]) < lengths_B[:, None]
    return torch.stack([((tokens_BT == 1) & real).sum(1), lengths_B], 1)


def test_the_effect_of_a_word_is_what_is_lost_without_it() -> None:
    effects = word_effects(counting, [1, 2, 1, 3], [[0, 2], [1], [3]])
    assert effects.tolist() == [[2, 2], [0, 1], [0, 1]]
    assert word_effects(counting, [1], [[0]], filler=9).tolist() == [[1, 0]]
    assert word_effects(counting, [2] * 99 + [1], [[i] for i in range(100)])[:, 0].tolist() == [0] * 99 + [1]


def test_the_strongest_words() -> None:
    found = [
        *[("good", torch.tensor([-v, v])) for v in (0.5, 0.3, 0.4)],
        *[("bad", torch.tensor([v, -v])) for v in (0.2, 0.2, 0.2)],
        *[("the", torch.tensor([0.0, 0.0]))] * 9,
        ("rare", torch.tensor([0.9, -0.9])),
    ]
    for_it, against = strongest_words(found, 1)
    assert [(row.word, row.count) for row in for_it] == [("good", 3)]
    assert for_it[0].effect == pytest.approx(0.4)
    assert [(row.word, row.effect) for row in against] == [("bad", pytest.approx(-0.2))]
    assert [row.word for row in strongest_words(found, 0, least=1)[0]] == ["rare", "bad"]


# ---------------------------------------------------------------- the whole of it


def test_inspecting_a_language_model() -> None:
    tokens = torch.tensor([3, 1, 4, 1, 5])
    for name, options in (("lstm-lm", LSTM), ("transformer-lm", GPT)):
        model = model_of(name, **options)
        seen = inspect_running_text(model, tokens)
        with torch.no_grad():
            probability_TV = model.eval()(tokens[None])[0][0].softmax(-1)
        assert seen.surprisal is not None
        assert seen.following_V is not None
        assert seen.lag_T is not None
        torch.testing.assert_close(seen.surprisal.probability_T, probability_TV[torch.arange(4), tokens[1:]])
        torch.testing.assert_close(seen.following_V, probability_TV[-1].float())
        assert len(seen.traces) == (2 if name == "lstm-lm" else 0)
        assert [tuple(map_.shape) for map_ in seen.attention.values()] == ([(2, 5, 5)] if name != "lstm-lm" else [])
        assert len(seen.lag_T) == 4
        one = inspect_running_text(model, tokens[:1])
        assert (one.surprisal, one.lag_T) == (None, None)
        with pytest.raises(UsageError):
            inspect_running_text(model, torch.tensor([3, 99] if name != "lstm-lm" else []))


def test_inspecting_a_classifier() -> None:
    model = model_of("lstm-classifier", **LSTM, num_classes=3, bidirectional=True).eval()
    tokens = torch.tensor([3, 1, 4, 1])

    def say(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        with torch.no_grad():
            said: Tensor = model(tokens_BT, lengths=lengths_B).softmax(-1)
            return said

    seen = inspect_classified_text(model, tokens, [[0, 1], [3]], say)
    assert seen.outputs_K is not None
    assert seen.effects_WK is not None
    without = say(torch.tensor([[4, 1]]), torch.tensor([2]))[0]
    torch.testing.assert_close(seen.effects_WK[0], (seen.outputs_K - without.float()), rtol=0, atol=1e-6)
    assert [trace.backward for trace in seen.traces] == [False, True]


def test_inspecting_a_translator() -> None:
    options = {"source_vocab_size": 9, "vocab_size": 11, "embedding_dim": 4, "hidden_size": 5}
    source, written = torch.tensor([3, 1, 4]), torch.tensor([2, 7, 1, 8, 3])
    model = model_of("seq2seq", **options, num_layers=1)
    seen = inspect_translation(model, source, written)
    with torch.no_grad():
        probability_TV = model.eval()(written[None, :-1], source=source[None])[0][0].softmax(-1)
        outputs_1SH, _ = model.encoder(model.source_embedding(source[None].flip(1)))
    assert seen.surprisal is not None
    torch.testing.assert_close(seen.surprisal.probability_T, probability_TV[torch.arange(4), written[1:]])
    assert (seen.alignments, seen.attention) == ({}, {})
    encoder, decoder = seen.traces
    assert (encoder.name, encoder.backward, decoder.backward) == ("encoder", True, False)
    torch.testing.assert_close(encoder.hidden_BTH, outputs_1SH.flip(1))  # the source is read in reverse
    seen = inspect_translation(model_of("seq2seq-attention", **options, maxout=3), source, written)
    assert {name: tuple(map_.shape) for name, map_ in seen.alignments.items()} == {"attention": (1, 4, 3)}
    assert [(trace.name, trace.backward) for trace in seen.traces] == [
        ("encoder", False), ("encoder", True), ("decoder", False),
    ]  # fmt: skip
