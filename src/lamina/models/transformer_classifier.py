"""Transformer classifier: the encoder of the Transformer, mean pooling, one linear layer.

Paper: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need", NIPS 2017,
arXiv 1706.03762.
What was new: sequences processed by attention alone, which connects every token to every other in one step.

Differences from the paper: the encoder alone, with an output layer of classes; small, normalisation first, GELU and
learned positions by default. ``norm="last"``, ``activation="relu"`` and ``positions="sinusoidal"`` are the paper's.
Embeddings are not multiplied by sqrt(width).

Legend: B batch, T tokens, C channels, K classes.

Reading order: models/transformer_classifier.py, layers/transformer.py, layers/multi_head.py, layers/attention.py,
layers/positions.py; helpers: layers/heads.py, layers/tokens.py, layers/sequences.py, layers/activations.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.activations import Activation
from lamina.layers.heads import linear_head
from lamina.layers.positions import Positions, position_layer
from lamina.layers.sequences import example_tokens, real_steps
from lamina.layers.tokens import checked_tokens
from lamina.layers.transformer import BlockOptions, NormPlace, Stack, initialise


@dataclass(frozen=True, kw_only=True)
class TransformerClassifierConfig:
    """Options of the Transformer classifier."""

    num_classes: int = 2
    """outputs: classes"""
    vocab_size: int = 8_000
    """size of the vocabulary"""
    context: int = 256
    """maximum number of tokens in a sequence"""
    layers: int = 2
    """number of blocks"""
    width: int = 128
    """channels of a token"""
    heads: int = 4
    """attention heads of each block"""
    hidden: int | None = None
    """units of each feed-forward layer (default: 4 * width)"""
    norm: NormPlace = "first"
    """normalisation before each sublayer (first), or after each sum as in the original Transformer (last)"""
    activation: Activation = "gelu"
    """non-linearity of the feed-forward layers"""
    positions: Positions = "learned"
    """position encoding"""
    pool: Literal["mean", "max"] = "mean"
    """how the states of all tokens are pooled into one vector"""
    dropout: float = 0.1
    """dropout rate of the embeddings, of each sublayer's output and of the pooled state"""
    attention_dropout: float = 0.0
    """dropout rate of the attention maps"""

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.context, self.layers) < 1 or self.num_classes < 0:
            raise ValueError("vocab_size, context and layers must be at least 1, num_classes at least 0")
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {self.width}")
        if self.pool not in ("mean", "max"):
            raise ValueError(f"pool must be 'mean' or 'max', got '{self.pool}'")
        self.blocks()

    def blocks(self) -> BlockOptions:
        """The options of the blocks. Raises ValueError if they are inconsistent."""
        return BlockOptions(
            width=self.width,
            heads=self.heads,
            hidden=4 * self.width if self.hidden is None else self.hidden,
            norm=self.norm,
            activation=self.activation,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )


class TransformerClassifier(nn.Module):
    """Blocks of self-attention, pooling over the real tokens, a linear layer: tokens (B, T) -> logits (B, K).

    >>> model = lamina.create_model("transformer-classifier", num_classes=5)
    >>> model(torch.zeros(2, 50, dtype=torch.int64), lengths=torch.tensor([50, 20])).shape
    torch.Size([2, 5])
    """

    def __init__(self, config: TransformerClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = position_layer(config.positions, config.context, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.stack = Stack(config.blocks(), config.layers)
        initialise(self, config.layers)
        self.head = linear_head(config.width, config.num_classes)

    def embed(self, tokens_BT: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The pooled states before dropout and output layer, (B, C).

        ``lengths`` (B,) counts the real tokens of each row; the rest is right padding and has no influence. Raises
        ValueError for tokens that are not (B, T) or exceed the context, and for lengths outside 1 ... T.
        """
        tokens_BT = checked_tokens(tokens_BT, lengths, self.config.vocab_size, self.config.context)
        embedded_BTC = self.tokens(tokens_BT)
        position = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        x_BTC = self.dropout(embedded_BTC + self.positions(position, embedded_BTC.dtype))
        if lengths is None:
            x_BTC = self.stack(x_BTC)
            pooled_BC: Tensor = x_BTC.mean(1) if self.config.pool == "mean" else x_BTC.amax(1)
            return pooled_BC
        real_BT1 = real_steps(tokens_BT, lengths)[..., None]
        x_BTC = self.stack(x_BTC, mask=real_BT1[:, None].mT)
        if self.config.pool == "max":
            pooled_BC = x_BTC.masked_fill(~real_BT1, -torch.inf).amax(1)
        else:
            pooled_BC = (x_BTC * real_BT1).sum(1) / lengths[:, None]
        return pooled_BC

    def forward(self, tokens_BT: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (B, K). Arguments and errors as of ``embed``."""
        logits_BK: Tensor = self.head(self.dropout(self.embed(tokens_BT, lengths)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace the output layer by a newly initialised one; with 0 classes forward returns the embedding (B, C)."""
        self.config = replace(self.config, num_classes=num_classes)
        self.head = linear_head(self.config.width, num_classes, like=next(self.parameters()))


def example(config: TransformerClassifierConfig, batch: int) -> dict[str, Tensor]:
    """Example inputs for conformance checks and exports: tokens (B, context), the same at every call."""
    return {"tokens_BT": example_tokens(config.vocab_size, batch, config.context)}


VARIANTS = {
    "transformer-classifier": Variant(
        build=TransformerClassifier,
        config=TransformerClassifierConfig(),
        card=Card(
            title="Transformer classifier",
            summary="Two small blocks of self-attention read a text; the mean of their states is classified.",
            paper="Attention Is All You Need",
            authors="Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin",
            year=2017,
            arxiv="1706.03762",
            inputs=("text",),
            tasks=("classification",),
            input=(256,),
            parameters=1_453_826,
            macs=134_217_984,
            reference="torch.nn.TransformerEncoder",
            differences=(
                "the encoder alone: two blocks of 128 channels (paper: six of 512), pooled, with an output layer",
                "learned positions, normalisation first, GELU (paper: sinusoidal, last, ReLU, available as options)",
                "embeddings not multiplied by sqrt(width); initialisation as in GPT-2",
            ),
            recipe="transformer-classifier",
        ),
        small={"vocab_size": 31, "context": 12, "layers": 2, "width": 16, "heads": 2},
        example=example,
    ),
}
