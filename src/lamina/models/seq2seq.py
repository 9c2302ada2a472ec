"""Sequence to sequence learning with two LSTMs: one encodes the source, the other decodes the target from its state.

Paper: Sutskever, Vinyals, Le, "Sequence to sequence learning with neural networks", NIPS 2014, arXiv 1409.3215.
What was new: translation by one network, through a vector of fixed size; the source is read in reverse order, which
brings its beginning next to the target's.

Differences from the paper: two biases per gate, as in torch (paper: one; 32,000 parameters fewer); no ensemble.

Legend: B batch, S source length, T target length, E embedding width, H hidden width, L layers, V target vocabulary.

Reading order: models/seq2seq.py, layers/recurrent.py, layers/loops.py; helpers: layers/sequences.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.recurrent import LSTMState, Recurrent
from lamina.layers.sequences import (
    check_recurrent,
    example_tokens,
    expect_rows,
    expect_tokens,
    resolve_memory,
    reverse_rows,
    select_rows,
)


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Options of the encoder-decoder without attention."""

    source_vocab_size: int = 160_000
    """size of the source vocabulary"""
    vocab_size: int = 80_000
    """size of the target vocabulary"""
    embedding_dim: int = 1000
    """width of a token's embedding"""
    hidden_size: int = 1000
    """width of each LSTM layer"""
    num_layers: int = 4
    """number of LSTM layers in the encoder, and in the decoder"""
    reverse_source: bool = True
    """whether the source is read in reverse order"""
    dropout: float = 0.0
    """dropout rate of the embeddings, between layers, and before the softmax"""
    init_range: float | None = 0.08
    """weights are initialised uniformly within this range; None: torch's default"""

    def __post_init__(self) -> None:
        sizes = (self.source_vocab_size, self.vocab_size, self.embedding_dim, self.hidden_size, self.num_layers)
        check_recurrent("lstm", sizes, self.dropout, ("lstm",))


class Seq2SeqMemory(NamedTuple):
    """The encoder's last state."""

    hidden_BLH: Tensor
    cell_BLH: Tensor


class Seq2SeqState(NamedTuple):
    """The decoder's state and the number of tokens decoded so far; at 0 it starts from the memory."""

    hidden_BLH: Tensor
    cell_BLH: Tensor
    position_B: Tensor


Rows = TypeVar("Rows", Seq2SeqState, Seq2SeqMemory)


class Seq2Seq(nn.Module):
    """p(y_t | y_1 .. y_{t-1}, x): source (B, S) and target tokens (B, T), which start with the beginning-of-sequence
    token, -> logits (B, T, V) for the next target token at every position.

    >>> model = lamina.create_model("seq2seq", vocab_size=100, source_vocab_size=100, hidden_size=32)
    >>> logits_BTV, state = model(torch.zeros(2, 7, dtype=torch.int64), source=torch.zeros(2, 9, dtype=torch.int64))
    >>> logits_BTV.shape
    torch.Size([2, 7, 100])
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocab_size, config.embedding_dim)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.embedding_dim, config.hidden_size, config.num_layers)
        self.encoder = Recurrent("lstm", *sizes, dropout=config.dropout)
        self.decoder = Recurrent("lstm", *sizes, dropout=config.dropout)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        if config.init_range is not None:
            for weight in self.parameters():
                nn.init.uniform_(weight, -config.init_range, config.init_range)

    def encode(self, source_BS: Tensor, source_lengths: Tensor | None = None) -> Seq2SeqMemory:
        """Encode the source (B, S), of which ``source_lengths`` (B,) tokens per row are real, into a memory.

        Raises ValueError for tokens or lengths of the wrong shape.
        """
        expect_tokens(source_BS, source_lengths, "source tokens")
        if self.config.reverse_source:
            source_BS = reverse_rows(source_BS, source_lengths)
        _, state = self.encoder(self.dropout(self.source_embedding(source_BS)), None, source_lengths)
        return Seq2SeqMemory(*state)

    def init_state(self, batch: int, max_length: int | None = None) -> Seq2SeqState:
        """The state before the first token. ``max_length`` is ignored. Raises ValueError for a batch below 1."""
        zeros = self.decoder.init_state(batch)
        return Seq2SeqState._make((*zeros, torch.zeros(batch, dtype=torch.int64, device=zeros[0].device)))

    def select(self, state: Rows, index_B: Tensor) -> Rows:
        """The rows ``index_B`` of a state or memory, in this order; a row may be repeated, as in beam search."""
        return select_rows(state, index_B)

    def forward(
        self,
        tokens_BT: Tensor,
        state: Seq2SeqState | None = None,
        lengths: Tensor | None = None,
        memory: Seq2SeqMemory | None = None,
        source: Tensor | None = None,
        source_lengths: Tensor | None = None,
    ) -> tuple[Tensor, Seq2SeqState]:
        """Logits (B, T, V) and the state after each row's last real token. Give ``memory`` or ``source`` (B, S).

        ``state`` defaults to the state before the first token; ``lengths`` (B,) counts the real tokens of each row.
        Raises ValueError if both or neither of memory and source are given, and for tokens, lengths, a state or a
        memory of the wrong shape.
        """
        expect_tokens(tokens_BT, lengths)
        memory = resolve_memory(self.encode, memory, source, source_lengths)
        batch, time = tokens_BT.shape
        shape = (batch, self.config.num_layers, self.config.hidden_size)
        expect_rows(memory, Seq2SeqMemory, (shape, shape), "memory")
        if state is None:
            state = self.init_state(batch)
        expect_rows(state, Seq2SeqState, (shape, shape, (batch,)))
        fresh_B11 = (state.position_B == 0)[:, None, None]
        start = LSTMState(*(torch.where(fresh_B11, m, s) for m, s in zip(memory, state[:2], strict=True)))
        out_BTH, end = self.decoder(self.dropout(self.embedding(tokens_BT)), start, lengths)
        logits_BTV: Tensor = self.head(self.dropout(out_BTH))
        seen = time if lengths is None else lengths.to(state.position_B)
        return logits_BTV, Seq2SeqState(end[0], end[1], state.position_B + seen)


_TIME = 25


def _example(config: Seq2SeqConfig, batch: int) -> dict[str, Tensor]:
    return {
        "tokens_BT": example_tokens(config.vocab_size, batch, _TIME),
        "source": example_tokens(config.source_vocab_size, batch, _TIME, seed=1),
    }


VARIANTS = {
    "seq2seq": Variant(
        build=Seq2Seq,
        config=Seq2SeqConfig(),
        card=Card(
            title="Sequence to sequence",
            summary="Four LSTM layers encode a sentence in reverse order, four more decode its translation.",
            paper="Sequence to sequence learning with neural networks",
            authors="Sutskever, Vinyals, Le",
            year=2014,
            arxiv="1409.3215",
            inputs=("text",),
            tasks=("translation",),
            input=(_TIME,),
            parameters=384_144_000,
            macs=3_600_000_000,
            reported=(
                Reported(
                    dataset="WMT14 English-French",
                    metric="BLEU",
                    value=30.59,
                    source="the paper, table 1",
                    note="one reversed LSTM, beam of 12",
                ),
                Reported(
                    dataset="WMT14 English-French",
                    metric="BLEU",
                    value=34.81,
                    source="the paper, table 1",
                    note="five reversed LSTMs together, beam of 12",
                ),
            ),
            reference="torch.nn.LSTM",
            differences=("two biases per gate, as in torch (paper: one)",),
            recipe="seq2seq",
        ),
        small={
            "source_vocab_size": 13,
            "vocab_size": 11,
            "embedding_dim": 6,
            "hidden_size": 5,
            "num_layers": 2,
            "init_range": None,
        },
        example=_example,
    ),
}
