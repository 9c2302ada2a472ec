"""Recurrent text classifiers: an embedding, recurrent layers in one or both directions, one linear layer.

Papers: Elman, "Finding structure in time", Cognitive Science 14 (1990); Hochreiter, Schmidhuber, "Long short-term
memory", Neural Computation 9 (1997); Cho et al., EMNLP 2014, arXiv 1406.1078. Both directions: Schuster, Paliwal, IEEE
Transactions on Signal Processing 45 (1997).
What was new: units with a memory of the sequence; gates that keep its gradient from vanishing.

Differences from the paper: they define the units, not a text classifier; its sizes are ours.

Legend: B batch, T time, E embedding width, H hidden width times directions, K classes.

Reading order: models/recurrent_classifier.py, layers/recurrent.py, layers/loops.py; helpers: layers/heads.py,
layers/sequences.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.heads import linear_head
from lamina.layers.recurrent import KINDS, Kind, Recurrent
from lamina.layers.sequences import check_recurrent, example_tokens, expect_tokens, real_steps


@dataclass(frozen=True, kw_only=True)
class RecurrentClassifierConfig:
    """Options of the recurrent classifiers."""

    vocab_size: int = 10_000
    """size of the vocabulary"""
    num_classes: int = 2
    """classes, or values to predict; 0: forward returns the embedding"""
    kind: Kind = "lstm"
    """the recurrent unit"""
    embedding_dim: int = 128
    """width of a token's embedding"""
    hidden_size: int = 128
    """width of each recurrent layer, of each direction"""
    num_layers: int = 1
    """recurrent layers"""
    bidirectional: bool = False
    """whether a second network reads the sequence backwards"""
    pool: Literal["last", "mean", "max"] = "last"
    """what is classified: the last states of both directions, or the mean or maximum of all outputs"""
    dropout: float = 0.0
    """dropout rate of the embedding, between layers, and before the output layer"""
    forget_bias: float = 0.0
    """added to the initial biases of the forget gates"""

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.embedding_dim, self.hidden_size, self.num_layers, self.num_classes + 1)
        check_recurrent(self.kind, sizes, self.dropout, KINDS)
        if self.pool not in ("last", "mean", "max"):
            raise ValueError(f"there is no pool '{self.pool}'; choose from last, mean, max")


class RecurrentClassifier(nn.Module):
    """Tokens (B, T) -> logits (B, K). Right padding beyond ``lengths`` (B,) has no influence.

    >>> model = lamina.create_model("lstm-classifier", num_classes=5)
    >>> model(torch.zeros(2, 50, dtype=torch.int64), lengths=torch.tensor([50, 20])).shape
    torch.Size([2, 5])
    """

    def __init__(self, config: RecurrentClassifierConfig) -> None:
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
            bidirectional=config.bidirectional,
            forget_bias=config.forget_bias,
        )
        self.head = linear_head(self._width(), config.num_classes)

    def embed(self, tokens_BT: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The pooled states before dropout and output layer, (B, H).

        Raises ValueError for tokens or lengths of the wrong shape.
        """
        expect_tokens(tokens_BT, lengths)
        x_BTE = self.dropout(self.embedding(tokens_BT))
        out_BTH: Tensor
        out_BTH, state = self.recurrent(x_BTE, None, lengths)
        if self.config.pool == "last":
            directions = 2 if self.config.bidirectional else 1
            last_BH: Tensor = state[0][:, -directions:].flatten(1)
            return last_BH
        mean = self.config.pool == "mean"
        if lengths is None:
            return out_BTH.mean(1) if mean else out_BTH.amax(1)
        if mean:
            return out_BTH.sum(1) / lengths.to(out_BTH)[:, None]  # outputs at padding are zero
        return out_BTH.masked_fill(~real_steps(tokens_BT, lengths)[..., None], -torch.inf).amax(1)

    def forward(self, tokens_BT: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (B, K). Arguments and errors as of ``embed``."""
        logits_BK: Tensor = self.head(self.dropout(self.embed(tokens_BT, lengths)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace the output layer by a newly initialised one; with 0 classes forward returns the embedding (B, H)."""
        self.config = replace(self.config, num_classes=num_classes)
        self.head = linear_head(self._width(), num_classes, like=self.embedding.weight)

    def _width(self) -> int:
        return self.config.hidden_size * (2 if self.config.bidirectional else 1)


_TIME = 100


def _example(config: RecurrentClassifierConfig, batch: int) -> dict[str, Tensor]:
    return {"tokens_BT": example_tokens(config.vocab_size, batch, _TIME)}


def _variant(kind: Kind, **facts: Any) -> Variant:
    card = Card(
        summary="The last state of one recurrent layer of 128 units is classified; for text of any length.",
        inputs=("text",),
        tasks=("classification", "multilabel", "regression"),
        input=(_TIME,),
        differences=("the paper defines the unit; the classifier's sizes are ours",),
        recipe="recurrent-classifier",
        **facts,
    )
    small = {"vocab_size": 17, "embedding_dim": 6, "hidden_size": 5, "num_classes": 3}
    config = RecurrentClassifierConfig(kind=kind)
    return Variant(build=RecurrentClassifier, config=config, card=card, small=small, example=_example)


VARIANTS = {
    "rnn-classifier": _variant(
        "rnn",
        title="Recurrent classifier (Elman)",
        paper="Finding structure in time",
        authors="Elman",
        year=1990,
        parameters=1_313_282,
        macs=3_277_056,
        reference="torch.nn.RNN",
    ),
    "lstm-classifier": _variant(
        "lstm",
        title="LSTM classifier",
        paper="Long short-term memory",
        authors="Hochreiter, Schmidhuber",
        year=1997,
        parameters=1_412_354,
        macs=13_107_456,
        reference="torch.nn.LSTM",
    ),
    "gru-classifier": _variant(
        "gru",
        title="GRU classifier",
        paper="Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        authors="Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio",
        year=2014,
        arxiv="1406.1078",
        parameters=1_379_330,
        macs=9_830_656,
        reference="torch.nn.GRU",
    ),
}
