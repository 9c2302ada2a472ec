"""Attention maps of models of text, and alignments, against what can be calculated from their weights."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lamina
from lamina.errors import UsageError
from lamina.inspection import alignments, attention_maps

TINY = {"layers": 2, "width": 8, "heads": 2, "hidden": 12}
SOURCE, TOKENS = torch.tensor([[3, 1, 4, 1, 5]]), torch.tensor([[2, 7, 1, 8]])


def model_of(name: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return lamina.create_model(name, vocab_size=11, **options).double()


def by_hand(attention: torch.nn.Module, x_TC: Tensor, memory_SC: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k / sqrt(D)) head by head, from the fused projection's rows."""
    q, k, _ = attention.qkv.weight.chunk(3)
    q_b, k_b, _ = attention.qkv.bias.chunk(3)
    maps = []
    for head in range(2):
        rows = slice(4 * head, 4 * head + 4)
        query, key = x_TC @ q[rows].T + q_b[rows], memory_SC @ k[rows].T + k_b[rows]
        scores = query @ key.T / math.sqrt(4)
        maps.append((scores if mask is None else scores + mask).softmax(-1))
    return torch.stack(maps)


@pytest.mark.parametrize("name", ["transformer-lm", "gpt2"])
def test_every_head_of_a_causal_model(name: str) -> None:
    options = {"layers": 2, "width": 8, "heads": 2, "context": 9}
    model = model_of(name, **options).train()
    maps = attention_maps(model, TOKENS)
    assert list(maps) == ["stack.blocks.0.attention", "stack.blocks.1.attention"]
    assert model.training
    model.eval()
    block = model.stack.blocks[0]
    with torch.no_grad():
        x_TC = block.attention_norm(model.tokens(TOKENS[0]) + model.positions(torch.arange(4), torch.float64))
        future = torch.full((4, 4), -math.inf, dtype=torch.float64).triu(1)
        wanted = by_hand(block.attention, x_TC, x_TC, future)
    torch.testing.assert_close(maps["stack.blocks.0.attention"][0], wanted)
    for map_ in maps.values():
        assert map_.shape == (1, 2, 4, 4)
        assert not map_.triu(1).any()


def test_an_encoder_decoder_has_three_kinds() -> None:
    model = model_of("transformer-small", **TINY)
    maps = attention_maps(model, TOKENS, source=SOURCE)
    shapes = {name: tuple(map_.shape[1:]) for name, map_ in maps.items()}
    assert shapes == {
        **{f"encoder.blocks.{layer}.attention": (2, 5, 5) for layer in (0, 1)},
        **{f"decoder.blocks.{layer}.attention": (2, 4, 4) for layer in (0, 1)},
        **{f"decoder.blocks.{layer}.cross": (2, 4, 5) for layer in (0, 1)},
    }
    found = alignments(model, TOKENS, SOURCE)
    assert list(found) == ["decoder.blocks.0.cross", "decoder.blocks.1.cross"]
    model.eval()
    block = model.decoder.blocks[0]
    with torch.no_grad():
        states_SC = model.encode(SOURCE).states_BSC[0]
        x_1TC = model._embed(model.tokens, TOKENS, torch.arange(4))
        x_1TC = block.attention_norm(x_1TC + block.attention(x_1TC, causal=True))
        wanted = by_hand(block.cross, x_1TC[0], states_SC)
    torch.testing.assert_close(found["decoder.blocks.0.cross"][0], wanted)
    torch.testing.assert_close(found["decoder.blocks.0.cross"], maps["decoder.blocks.0.cross"])


def test_a_classifier_looks_both_ways() -> None:
    model = model_of("transformer-classifier", layers=1, width=8, heads=2, context=9)
    (map_,) = attention_maps(model, TOKENS).values()
    assert (map_ > 0).all()
    torch.testing.assert_close(map_.sum(-1), torch.ones(1, 2, 4, dtype=torch.float64))


@pytest.mark.parametrize("score", ["additive", "concat", "general", "dot"])
def test_the_alignment_of_a_recurrent_decoder(score: str) -> None:
    model = model_of(
        "seq2seq-attention",
        score=score,
        source_vocab_size=9,
        embedding_dim=4,
        hidden_size=5,
        attention_size=6,
        maxout=3,
    ).eval()
    found = alignments(model, TOKENS, SOURCE)
    assert list(found) == ["attention"]
    attn_TS = found["attention"][0, 0]
    assert attn_TS.shape == (4, 5)
    torch.testing.assert_close(attn_TS.sum(1), torch.ones(4, dtype=torch.float64))
    if score != "additive":
        return
    # the first step by hand: e_j = v tanh(W s_0 + U h_j), s_0 = tanh(W_s h backward at the beginning)
    with torch.no_grad():
        h_SD, _ = model.encoder(model.source_embedding(SOURCE))
        s_H = torch.tanh(model.start(h_SD[0, 0, 5:]))
        e_S = torch.tanh(model.attention.query(s_H) + model.attention.key(h_SD[0])) @ model.attention.score.weight[0]
    torch.testing.assert_close(attn_TS[0], F.softmax(e_S, 0))


def test_no_attention_no_map() -> None:
    model = model_of("seq2seq", source_vocab_size=9, embedding_dim=4, hidden_size=5, num_layers=1)
    assert alignments(model, TOKENS, SOURCE) == {}
    assert attention_maps(model, TOKENS, source=SOURCE) == {}
    with pytest.raises(UsageError, match="expected tokens"):
        attention_maps(model, TOKENS[0], source=SOURCE)
    with pytest.raises(UsageError, match="expected source tokens"):
        alignments(model, TOKENS, SOURCE[0])
