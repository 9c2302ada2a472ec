"""Recurrent language models: an embedding, recurrent layers, and a softmax over the vocabulary.

Papers: Mikolov et al., "Recurrent neural network based language model", Interspeech 2010 (``rnn-lm``); Zaremba,
Sutskever, Vinyals, "Recurrent neural network regularization", 2014, arXiv 1409.2329 (``lstm-lm-*``); Cho et al., EMNLP
2014, arXiv 1406.1078 (the unit of ``gru-lm``).
What was new: a context of any length in place of n words; dropout on the non-recurrent connections.

Differences from the paper: an LSTM or GRU gate has two biases, as in torch (Zaremba: one); Mikolov's units are
logistic, ours tanh, and his input is the one-hot word, without an embedding of another width.

Legend: B batch, T time, V vocabulary, E embedding width, H hidden width, L layers.

Reading order: models/recurrent_lm.py, layers/recurrent.py, layers/loops.py; helpers: layers/sequences.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.recurrent import KINDS, HiddenState, Kind, LSTMState, Recurrent, RecurrentState
from lamina.layers.sequences import check_recurrent, example_tokens, expect_rows, expect_tokens, select_rows


@dataclass(frozen=True, kw_only=True)
class RecurrentLMConfig:
    """Options of the recurrent language models."""

    vocab_size: int = 10_000
    """size of the vocabulary"""
    kind: Kind = "lstm"
    """the recurrent unit"""
    embedding_dim: int = 200
    """width of a token's embedding"""
    hidden_size: int = 200
    """width of each recurrent layer"""
    num_layers: int = 2
    """recurrent layers"""
    dropout: float = 0.0
    """dropout rate of the embedding, between layers, and before the softmax"""
    tied: bool = False
    """one matrix for embedding and output layer (Press, Wolf 2017); embedding_dim must equal hidden_size"""
    forget_bias: float = 0.0
    """added to the initial biases of the forget gates"""
    init_range: float | None = None
    """weights are initialised uniformly within this range; None: torch's default (an untied embedding: normal)"""

    def __post_init__(self) -> None:
        counts = (self.vocab_size, self.embedding_dim, self.hidden_size, self.num_layers)
        check_recurrent(self.kind, counts, self.dropout, KINDS)
        if self.tied and self.embedding_dim != self.hidden_size:
            sizes = f"{self.embedding_dim} and {self.hidden_size}"
            raise ValueError(f"tied needs embedding_dim and hidden_size to be equal, got {sizes}")


class RecurrentLM(nn.Module):
    """p(x_t | x_1 .. x_{t-1}) = softmax(W h_{t-1} + b): tokens (B, T) -> logits (B, T, V) for the next token at every
    position, and the state from which decoding and truncated back-propagation through time continue.

    >>> model = lamina.create_model("lstm-lm-small", vocab_size=100)
    >>> logits_BTV, state = model(torch.zeros(2, 35, dtype=torch.int64))
    >>> logits_BTV, state = model(torch.zeros(2, 35, dtype=torch.int64), state)  # the next 35 tokens of each row
    >>> logits_BTV.shape
    torch.Size([2, 35, 100])
    """

    def __init__(self, config: RecurrentLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(
            config.kind,
            config.embedding_dim,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout,
            forget_bias=config.forget_bias,
        )
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        if config.tied:
            self.embedding.weight = self.head.weight  # with the output layer's initialisation
        if config.init_range is not None:
            for weight in self.parameters():
                nn.init.uniform_(weight, -config.init_range, config.init_range)
            self.recurrent.add_forget_bias()

    def init_state(self, batch: int, max_length: int | None = None) -> RecurrentState:
        """The zero state before the first token. ``max_length`` is ignored. Raises ValueError for a batch below 1."""
        return self.recurrent.init_state(batch)

    def select(self, state: RecurrentState, index_B: Tensor) -> RecurrentState:
        """The rows ``index_B`` of a state, in this order; a row may be repeated, as in beam search."""
        return select_rows(state, index_B)

    def forward(
        self, tokens_BT: Tensor, state: RecurrentState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Logits (B, T, V) and the state after each row's last real token.

        ``state`` defaults to zeros; ``lengths`` (B,) counts the real tokens of each row, the rest is right padding.
        Raises ValueError for tokens, lengths or a state of the wrong shape.
        """
        expect_tokens(tokens_BT, lengths)
        if state is not None:
            shape = (tokens_BT.shape[0], self.recurrent.rows, self.config.hidden_size)
            like = LSTMState if self.config.kind.startswith("lstm") else HiddenState
            expect_rows(state, like, (shape,) * len(like._fields))
        x_BTE = self.dropout(self.embedding(tokens_BT))
        out_BTH, state = self.recurrent(x_BTE, state, lengths)
        logits_BTV: Tensor = self.head(self.dropout(out_BTH))
        return logits_BTV, state


def _example(time: int, config: RecurrentLMConfig, batch: int) -> dict[str, Tensor]:
    return {"tokens_BT": example_tokens(config.vocab_size, batch, time)}


_SMALL = {"vocab_size": 17, "embedding_dim": 12, "hidden_size": 10}


def _variant(config: RecurrentLMConfig, time: int, **facts: Any) -> Variant:
    example: Callable[[Any, int], dict[str, Any]] = partial(_example, time)
    card = Card(inputs=("text",), tasks=("language-modelling",), input=(time,), recipe="recurrent-lm", **facts)
    return Variant(build=RecurrentLM, config=config, card=card, small=_SMALL, example=example)


def _zaremba(name: str, hidden: int, dropout: float, init: float, time: int, **facts: Any) -> Variant:
    test = facts.pop("test")
    config = RecurrentLMConfig(embedding_dim=hidden, hidden_size=hidden, num_layers=2, dropout=dropout, init_range=init)
    return _variant(
        config,
        time,
        title=f"LSTM language model, {name}",
        summary=f"Two LSTM layers of {hidden} units over a vocabulary of 10,000 words.",
        paper="Recurrent neural network regularization",
        authors="Zaremba, Sutskever, Vinyals",
        year=2014,
        arxiv="1409.2329",
        reported=(
            Reported(dataset="Penn Treebank", metric="test perplexity", value=test, source="the paper, table 1"),
        ),
        reference="torch.nn.LSTM",
        differences=("two biases per gate, as in torch (paper: one)",),
        **facts,
    )


VARIANTS = {
    "rnn-lm": _variant(
        RecurrentLMConfig(kind="rnn", num_layers=1),
        20,
        title="Recurrent language model (Elman)",
        summary="One layer of tanh units, whose state depends on the whole past.",
        paper="Recurrent neural network based language model",
        authors="Mikolov, Karafiat, Burget, Cernocky, Khudanpur",
        year=2010,
        parameters=4_090_400,
        macs=41_600_000,
        reference="torch.nn.RNN",
        differences=(
            "tanh units (paper: logistic)",
            "an embedding of its own width before the recurrent layer (paper: none)",
            "sizes chosen here: the paper's vary with the data",
        ),
    ),
    "gru-lm": _variant(
        RecurrentLMConfig(kind="gru"),
        20,
        title="GRU language model",
        summary="Two layers of gated recurrent units.",
        paper="Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        authors="Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio",
        year=2014,
        arxiv="1406.1078",
        parameters=4_492_400,
        macs=49_600_000,
        reference="torch.nn.GRU",
        differences=(
            "the paper's unit in a plain language model, with the sizes of Zaremba's small one",
            "the reset gate is applied after the matrix, as in cuDNN (kind='gru-reset-before': before)",
        ),
    ),
    "lstm-lm-small": _zaremba(
        "small", 200, 0.0, 0.1, 20, test=114.5, parameters=4_653_200, macs=52_800_000, aliases=("lstm-lm",)
    ),
    "lstm-lm-medium": _zaremba("medium", 650, 0.5, 0.05, 35, test=82.7, parameters=19_780_400, macs=464_100_000),
    "lstm-lm-large": _zaremba("large", 1500, 0.65, 0.04, 35, test=78.4, parameters=66_034_000, macs=1_785_000_000),
}
