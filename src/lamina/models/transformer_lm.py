"""Transformer language model: the decoder of the Transformer alone, which predicts the next token.

Paper: Liu, Saleh, Pot, Goodrich, Sepassi, Kaiser, Shazeer, "Generating Wikipedia by Summarizing Long Sequences", ICLR
2018, arXiv 1801.10198 (the T-D model).
What was new: input and output as one sequence, which removes the encoder and the attention to it.

Differences from the paper: learned positions and normalisation before the sublayers by default, as in GPT-2 (Radford et
al. 2019); ``positions="sinusoidal"`` and ``norm="last"`` are the paper's. Embeddings are not multiplied by sqrt(width).
No memory-compressed attention. A small default size, for text of bytes or characters.

Legend: B batch, T tokens, C channels, F hidden units, V vocabulary.

Forward (``CausalTransformer.forward`` with the default options, without the key-value cache):

    x_BTC = dropout(tokens(tokens_BT) + positions(0 ... T-1))       # embedding and position
    for block in stack.blocks:                                      # each token attends to itself and those before
        x_BTC = x_BTC + dropout(block.attention(block.attention_norm(x_BTC)))
        h_BTF = block.activation(block.expand(block.feed_forward_norm(x_BTC)))
        x_BTC = x_BTC + dropout(block.contract(h_BTF))
    logits_BTV = stack.norm(x_BTC) @ tokens.weight.T                # the embedding is also the output layer

Reading order: models/transformer_lm.py, layers/causal_transformer.py, layers/transformer.py, layers/multi_head.py,
layers/attention.py, layers/positions.py; for decoding layers/key_value.py; helpers: layers/tokens.py,
layers/sequences.py, layers/linear.py, layers/activations.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lamina.cards import Card, Variant
from lamina.layers.activations import Activation
from lamina.layers.causal_transformer import CausalTransformer
from lamina.layers.positions import Positions
from lamina.layers.sequences import example_tokens
from lamina.layers.transformer import BlockOptions, NormPlace


@dataclass(frozen=True, kw_only=True)
class TransformerLMConfig:
    """Options of the Transformer language model."""

    vocab_size: int = 256
    """size of the vocabulary"""
    context: int = 256
    """maximum number of tokens in a sequence"""
    layers: int = 4
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
    tied: bool = True
    """whether the output layer shares the weights of the embedding"""
    dropout: float = 0.1
    """dropout rate of the embeddings and of each sublayer's output"""
    attention_dropout: float = 0.0
    """dropout rate of the attention maps"""

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.context, self.layers) < 1:
            raise ValueError("vocab_size, context and layers must be at least 1")
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {self.width}")
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


class TransformerLM(CausalTransformer):
    """Blocks of causal self-attention: tokens (B, T) -> logits (B, T, V) for the next token at every position.

    >>> model = lamina.create_model("transformer-lm", vocab_size=256)
    >>> logits_BTV, state = model(torch.zeros(2, 100, dtype=torch.int64))
    >>> logits_BTV.shape
    torch.Size([2, 100, 256])
    """

    def __init__(self, config: TransformerLMConfig) -> None:
        super().__init__(
            config.blocks(),
            layers=config.layers,
            vocab_size=config.vocab_size,
            context=config.context,
            positions=config.positions,
            tied=config.tied,
        )
        self.config = config


def example(config: TransformerLMConfig, batch: int) -> dict[str, Tensor]:
    """Example inputs for conformance checks and exports: tokens (B, context), the same at every call."""
    return {"tokens_BT": example_tokens(config.vocab_size, batch, config.context)}


VARIANTS = {
    "transformer-lm": Variant(
        build=TransformerLM,
        config=TransformerLMConfig(),
        card=Card(
            title="Transformer language model",
            summary="Causal self-attention predicts the next token; four small blocks, for bytes or characters.",
            paper="Generating Wikipedia by Summarizing Long Sequences",
            authors="Liu, Saleh, Pot, Goodrich, Sepassi, Kaiser, Shazeer",
            year=2018,
            arxiv="1801.10198",
            inputs=("text",),
            tasks=("language-modelling",),
            input=(256,),
            parameters=858_880,
            macs=276_824_064,
            reference="torch.nn.TransformerEncoder with a causal mask",
            differences=(
                "four blocks of 128 channels, smaller than the paper's; no memory-compressed attention",
                "learned positions, normalisation first, GELU (paper: sinusoidal, last, ReLU, available as options)",
                "embeddings not multiplied by sqrt(width); initialisation as in GPT-2",
            ),
            recipe="transformer-lm",
        ),
        small={"vocab_size": 31, "context": 12, "layers": 2, "width": 16, "heads": 2},
        example=example,
    ),
}
