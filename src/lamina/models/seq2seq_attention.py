"""Sequence to sequence learning with attention: the decoder attends to every state of the encoder.

Papers: Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015, arXiv
1409.0473 (``score="additive"``); Luong, Pham, Manning, "Effective approaches to attention-based neural machine
translation", EMNLP 2015, arXiv 1508.04025 (``"dot"``, ``"general"``, ``"concat"``: global attention).
What was new: a soft alignment, learned with the translation, in place of one vector for the whole source. Bahdanau:
s_i = GRU(s_{i-1}, [y_{i-1}; c_i]), where the query for c_i is s_{i-1}. Luong: h_t = LSTM(h_{t-1}, [y_{t-1};
h~_{t-1}]), the query for c_t is h_t, and h~_t = tanh(W_c [c_t; h_t]) is fed to the next step ("input feeding").

Differences from the paper: the reset gate is applied after the matrix, as in cuDNN (Bahdanau: before); gates have two
biases; Bahdanau's readout uses s_i, as in equation 4 (the appendix: s_{i-1}); torch's initialisation (Bahdanau:
orthogonal and normal 0.01); no local attention.

Legend: B batch, S source length, T target length, E embedding width, H hidden width, L layers, V target vocabulary, D
width of a source state (2 H for additive, H otherwise), A of a prepared key, C of the context passed to the next step.

Reading order: models/seq2seq_attention.py, layers/additive_attention.py, layers/recurrent.py, layers/loops.py; helpers:
layers/sequences.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.additive_attention import AdditiveAttention, MultiplicativeAttention, Score
from lamina.layers.loops import Tensors, run_eagerly, unroll
from lamina.layers.recurrent import Recurrent
from lamina.layers.sequences import (
    check_recurrent,
    example_tokens,
    expect_rows,
    expect_tokens,
    real_steps,
    resolve_memory,
    select_rows,
)


@dataclass(frozen=True, kw_only=True)
class Seq2SeqAttentionConfig:
    """Options of the encoder-decoder with attention."""

    source_vocab_size: int = 30_000
    """size of the source vocabulary"""
    vocab_size: int = 30_000
    """size of the target vocabulary"""
    score: Score = "additive"
    """how a state is compared with a source state: Bahdanau's additive (GRU), or Luong's concat, dot, general (LSTM)"""
    embedding_dim: int = 620
    """width of a token's embedding"""
    hidden_size: int = 1000
    """width of each recurrent layer, and of each direction of the encoder"""
    num_layers: int = 1
    """number of recurrent layers in the encoder, and in the decoder"""
    attention_size: int = 1000
    """width of the hidden layer of the alignment (additive and concat)"""
    maxout: int = 500
    """maxout units before the softmax (additive)"""
    input_feeding: bool = True
    """whether a step receives the attentional vector of the previous one (concat, dot, general)"""
    dropout: float = 0.0
    """dropout rate of the embeddings, between layers, and before the softmax"""

    def __post_init__(self) -> None:
        widths = (self.embedding_dim, self.hidden_size, self.num_layers, self.attention_size, self.maxout)
        sizes = (self.source_vocab_size, self.vocab_size, *widths)
        check_recurrent(self.score, sizes, self.dropout, ("additive", "concat", "dot", "general"))


class AttentionMemory(NamedTuple):
    """The result of a GRU encoder: its states, their keys, the padding mask, the decoder's first state."""

    values_BSD: Tensor
    keys_BSA: Tensor
    real_BS: Tensor
    hidden_BLH: Tensor


class AttentionLSTMMemory(NamedTuple):
    """As ``AttentionMemory``, for LSTMs."""

    values_BSD: Tensor
    keys_BSA: Tensor
    real_BS: Tensor
    hidden_BLH: Tensor
    cell_BLH: Tensor


class AttentionState(NamedTuple):
    """A GRU decoder's state, its last context, and the number of tokens decoded; at 0 it starts from the memory."""

    hidden_BLH: Tensor
    context_BC: Tensor
    position_B: Tensor


class AttentionLSTMState(NamedTuple):
    """An LSTM decoder's state, its last attentional vector, and the number of tokens decoded."""

    hidden_BLH: Tensor
    cell_BLH: Tensor
    context_BC: Tensor
    position_B: Tensor


State = AttentionState | AttentionLSTMState
Memory = AttentionMemory | AttentionLSTMMemory
Step = Callable[[Tensor, Tensors], Tensors]
Rows = TypeVar("Rows", AttentionState, AttentionLSTMState, AttentionMemory, AttentionLSTMMemory)


class Seq2SeqAttention(nn.Module):
    """p(y_t | y_1 .. y_{t-1}, x): source (B, S) and target tokens (B, T), which start with the beginning-of-sequence
    token, -> logits (B, T, V) for the next target token at every position.

    >>> model = lamina.create_model("seq2seq-attention", vocab_size=100, source_vocab_size=100, hidden_size=32)
    >>> tokens_BT, source_BS = torch.zeros(2, 7, dtype=torch.int64), torch.zeros(2, 9, dtype=torch.int64)
    >>> model(tokens_BT, source=source_BS)[0].shape, model.attention_map(tokens_BT, source=source_BS).shape
    (torch.Size([2, 7, 100]), torch.Size([2, 7, 9]))
    """

    def __init__(self, config: Seq2SeqAttentionConfig) -> None:
        super().__init__()
        self.config = config
        E, H, L = config.embedding_dim, config.hidden_size, config.num_layers
        self.additive = config.score == "additive"
        D = 2 * H if self.additive else H
        self.context_size = D if self.additive else H
        fed = self.context_size if self.additive or config.input_feeding else 0
        self.source_embedding = nn.Embedding(config.source_vocab_size, E)
        self.embedding = nn.Embedding(config.vocab_size, E)
        self.dropout = nn.Dropout(config.dropout)
        kind: Any = "gru" if self.additive else "lstm"
        self.encoder = Recurrent(kind, E, H, L, dropout=config.dropout, bidirectional=self.additive)
        self.decoder = Recurrent(kind, E + fed, H, L, dropout=config.dropout)
        self.attention: AdditiveAttention | MultiplicativeAttention
        if config.score == "dot" or config.score == "general":
            self.attention = MultiplicativeAttention(H, D, config.score)
        else:
            self.attention = AdditiveAttention(H, D, config.attention_size)
        if self.additive:
            self.start = nn.Linear(H, L * H, bias=False)
            self.readout = nn.Linear(H + E + D, 2 * config.maxout)
        else:
            self.combine = nn.Linear(D + H, H, bias=False)
        self.head = nn.Linear(config.maxout if self.additive else H, config.vocab_size)

    def encode(self, source_BS: Tensor, source_lengths: Tensor | None = None) -> Memory:
        """Encode the source (B, S), of which ``source_lengths`` (B,) tokens per row are real, into a memory.

        Raises ValueError for tokens or lengths of the wrong shape.
        """
        expect_tokens(source_BS, source_lengths, "source tokens")
        values_BSD, state = self.encoder(self.dropout(self.source_embedding(source_BS)), None, source_lengths)
        if source_lengths is None:
            real_BS = torch.ones(source_BS.shape, dtype=torch.bool, device=source_BS.device)
        else:
            real_BS = real_steps(source_BS, source_lengths)
        seen = (values_BSD, self.attention.prepare(values_BSD), real_BS)
        if not self.additive:
            return AttentionLSTMMemory(*seen, *state)
        first_BH = state[0][:, -1]  # of the backward network: it has read the whole source
        start_BLH = torch.tanh(self.start(first_BH)).view(-1, self.config.num_layers, self.config.hidden_size)
        return AttentionMemory(*seen, start_BLH)

    def init_state(self, batch: int, max_length: int | None = None) -> State:
        """The state before the first token. ``max_length`` is ignored. Raises ValueError for a batch below 1."""
        zeros = self.decoder.init_state(batch)
        context_BC = zeros[0].new_zeros(batch, self.context_size)
        position_B = torch.zeros(batch, dtype=torch.int64, device=context_BC.device)
        like = AttentionState if self.additive else AttentionLSTMState
        return like._make((*zeros, context_BC, position_B))

    def select(self, state: Rows, index_B: Tensor) -> Rows:
        """The rows ``index_B`` of a state or memory, in this order; a row may be repeated, as in beam search."""
        return select_rows(state, index_B)

    def forward(
        self,
        tokens_BT: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        memory: Memory | None = None,
        source: Tensor | None = None,
        source_lengths: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Logits (B, T, V) and the state after each row's last real token. Give ``memory`` or ``source`` (B, S).

        ``state`` defaults to the state before the first token; ``lengths`` (B,) counts the real tokens of each row.
        Raises ValueError if both or neither of memory and source are given, and for tokens, lengths, a state or a
        memory of the wrong shape.
        """
        given = (tokens_BT, state, lengths, memory, source, source_lengths)
        logits_BTV, state, _ = run_eagerly(self._decode, *given) if self.decoder.runs_eagerly else self._decode(*given)
        return logits_BTV, state

    def attention_map(
        self,
        tokens_BT: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        memory: Memory | None = None,
        source: Tensor | None = None,
        source_lengths: Tensor | None = None,
    ) -> Tensor:
        """The alignment (B, T, S): the attention weights of every decoding step. Arguments as of ``forward``."""
        return self._decode(tokens_BT, state, lengths, memory, source, source_lengths)[2]

    def _decode(
        self,
        tokens_BT: Tensor,
        state: State | None,
        lengths: Tensor | None,
        memory: Memory | None,
        source: Tensor | None,
        source_lengths: Tensor | None,
    ) -> tuple[Tensor, State, Tensor]:
        expect_tokens(tokens_BT, lengths)
        batch, time = tokens_BT.shape
        known: Any = resolve_memory(self.encode, memory, source, source_lengths)
        self._check_memory(known, batch)
        state = self.init_state(batch) if state is None else state
        self._check_state(state, batch)
        *cells, context_BC, position_B = state
        fresh_B11 = (position_B == 0)[:, None, None]
        first: Tensors = tuple(torch.where(fresh_B11, m, s) for m, s in zip(known[3:], cells, strict=True))
        y_BTE = self.dropout(self.embedding(tokens_BT))
        real_TB = None if lengths is None else real_steps(tokens_BT, lengths).T
        step = partial(self._bahdanau if self.additive else self._luong, known, self.decoder.stepper())
        end, outputs = unroll(step, (*first, context_BC), (y_BTE.transpose(0, 1),), real_TB)
        attn_BTS, *seen = (output.transpose(0, 1) for output in outputs)
        out_BTO = self._read_out(y_BTE, *seen) if self.additive else seen[0]
        position_B = position_B + (time if lengths is None else lengths.to(position_B))
        return self.head(self.dropout(out_BTO)), type(state)._make((*end, position_B)), attn_BTS

    def _bahdanau(self, memory: Memory, step: Step, old: Tensors, given: Tensors) -> tuple[Tensors, Tensors]:
        *cells, _ = old
        context_BC, attn_BS = self.attention(cells[0].unbind(1)[-1], memory[1], memory[0], memory[2])
        new = step(torch.cat([given[0], context_BC], 1), tuple(cells))
        return (*new, context_BC), (attn_BS, new[0].unbind(1)[-1], context_BC)

    def _read_out(self, y_BTE: Tensor, s_BTH: Tensor, c_BTD: Tensor) -> Tensor:
        """Maxout: the larger of each pair of U s_i + V y_{i-1} + C c_i."""
        units_BT2M: Tensor = self.readout(torch.cat([s_BTH, y_BTE, c_BTD], -1))
        return torch.maximum(units_BT2M[..., ::2], units_BT2M[..., 1::2])

    def _luong(self, memory: Memory, step: Step, old: Tensors, given: Tensors) -> tuple[Tensors, Tensors]:
        *cells, combined_BH = old
        x_BX = torch.cat([given[0], combined_BH], 1) if self.config.input_feeding else given[0]
        new = step(x_BX, tuple(cells))
        top_BH = new[0].unbind(1)[-1]
        context_BH, attn_BS = self.attention(top_BH, memory[1], memory[0], memory[2])
        combined_BH = torch.tanh(self.combine(torch.cat([context_BH, top_BH], 1)))
        return (*new, combined_BH), (attn_BS, combined_BH)

    def _check_memory(self, memory: Memory, batch: int) -> None:
        H, L = self.config.hidden_size, self.config.num_layers
        D = 2 * H if self.additive else H
        seen = ((batch, -1, D), (batch, -1, -1), (batch, -1))
        like, parts = (AttentionMemory, 1) if self.additive else (AttentionLSTMMemory, 2)
        expect_rows(memory, like, (*seen, *((batch, L, H),) * parts), "memory")

    def _check_state(self, state: State, batch: int) -> None:
        cell = (batch, self.config.num_layers, self.config.hidden_size)
        like, parts = (AttentionState, 1) if self.additive else (AttentionLSTMState, 2)
        expect_rows(state, like, (*(cell,) * parts, (batch, self.context_size), (batch,)))


_TIME = 25


def _example(config: Seq2SeqAttentionConfig, batch: int) -> dict[str, Tensor]:
    return {
        "tokens_BT": example_tokens(config.vocab_size, batch, _TIME),
        "source": example_tokens(config.source_vocab_size, batch, _TIME, seed=1),
    }


VARIANTS = {
    "seq2seq-attention": Variant(
        build=Seq2SeqAttention,
        config=Seq2SeqAttentionConfig(),
        card=Card(
            title="Sequence to sequence with attention",
            summary="A bidirectional GRU encodes, another GRU decodes, attending to every source token.",
            paper="Neural machine translation by jointly learning to align and translate",
            authors="Bahdanau, Cho, Bengio",
            year=2015,
            arxiv="1409.0473",
            inputs=("text",),
            tasks=("translation",),
            input=(_TIME,),
            parameters=80_450_000,
            macs=1_057_875_000,
            reported=(
                Reported(
                    dataset="WMT14 English-French",
                    metric="BLEU",
                    value=26.75,
                    source="the paper, table 1",
                    note="RNNsearch-50; 28.45 when trained for longer; 17.82 without attention",
                ),
            ),
            reference="torch.nn.GRU",
            differences=(
                "the reset gate is applied after the matrix, as in cuDNN (paper: before)",
                "two biases per gate, as in torch (paper: one)",
                "the readout uses the new state, as in equation 4 (appendix: the previous one)",
                "torch's initialisation (paper: orthogonal, and normal with 0.01)",
            ),
            recipe="seq2seq-attention",
            aliases=("rnnsearch",),
        ),
        small={
            "source_vocab_size": 13,
            "vocab_size": 11,
            "embedding_dim": 6,
            "hidden_size": 5,
            "attention_size": 7,
            "maxout": 4,
        },
        example=_example,
    ),
}
