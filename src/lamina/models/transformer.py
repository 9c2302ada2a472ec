"""Transformer: an encoder and a decoder of attention alone, for translation.

Paper: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need", NIPS 2017,
arXiv 1706.03762.
What was new: no recurrence and no convolution: several heads of scaled dot products connect every position to every
other in one step, so that all positions are trained in parallel.

Differences from the paper: the projections of the attention have biases, as in torch's ``nn.Transformer``
(tensor2tensor's have none), and the paper's parameter counts are rounded. Matrices are initialised with Xavier's
uniform distribution, queries, keys and values as one matrix, as in torch; embeddings with a normal one of standard
deviation 1 / sqrt(width), so that they are of order one after the multiplication by sqrt(width). Lengths are unlimited:
positions are computed. ``norm="first"`` (Xiong et al. 2020, arXiv 2002.04745), with a last normalisation of encoder and
decoder, trains without warm-up.

Legend: B batch, S source tokens, T target tokens, C channels, V vocabulary, L layers, H heads, D channels of a head.

Reading order: models/transformer.py, layers/transformer.py, layers/multi_head.py, layers/attention.py,
layers/positions.py; for decoding layers/key_value.py; helpers: layers/tokens.py, layers/sequences.py,
layers/activations.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.activations import Activation
from lamina.layers.key_value import KeyValueState, StateShape
from lamina.layers.positions import SinusoidalPositions
from lamina.layers.sequences import State, example_tokens, expect_rows, real_steps, select_rows
from lamina.layers.tokens import checked_tokens
from lamina.layers.transformer import BlockOptions, Memory, NormPlace, Stack


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Options of the Transformer."""

    vocab_size: int = 37_000
    """size of the target vocabulary, and of the source vocabulary unless it has its own"""
    source_vocab_size: int | None = None
    """size of the source vocabulary if it is not the target's (needs tied=False)"""
    layers: int = 6
    """number of blocks in the encoder, and in the decoder"""
    width: int = 512
    """channels of a token"""
    heads: int = 8
    """attention heads of each block"""
    hidden: int = 2048
    """units of each feed-forward layer"""
    norm: NormPlace = "last"
    """normalisation after each sum as in the paper (last), or before each sublayer (first)"""
    activation: Activation = "relu"
    """non-linearity of the feed-forward layers"""
    tied: bool = True
    """whether source embedding, target embedding and output layer are one matrix"""
    dropout: float = 0.1
    """dropout rate of the embeddings and of each sublayer's output"""
    attention_dropout: float = 0.0
    """dropout rate of the attention maps"""

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.source_vocab, self.layers) < 1:
            raise ValueError("vocab_size, source_vocab_size and layers must be at least 1")
        if self.tied and self.source_vocab != self.vocab_size:
            sizes = f"{self.source_vocab} source and {self.vocab_size} target tokens"
            raise ValueError(f"one embedding cannot serve {sizes}: with a source_vocab_size, tied must be False")
        if self.width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {self.width}")
        self.blocks()

    @property
    def source_vocab(self) -> int:
        """Size of the source vocabulary."""
        return self.vocab_size if self.source_vocab_size is None else self.source_vocab_size

    def blocks(self) -> BlockOptions:
        """The options of the blocks. Raises ValueError if they are inconsistent."""
        return BlockOptions(
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            norm=self.norm,
            activation=self.activation,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )


class Transformer(nn.Module):
    """Encoder and decoder: source (B, S) and target tokens (B, T) -> logits (B, T, V) for the next target tokens.

    >>> model = lamina.create_model("transformer-small", vocab_size=100)
    >>> source_BS, tokens_BT = torch.zeros(2, 9, dtype=torch.int64), torch.zeros(2, 7, dtype=torch.int64)
    >>> logits_BTV, _ = model(tokens_BT, source=source_BS)  # training, with teacher forcing
    >>> logits_BTV.shape
    torch.Size([2, 7, 100])
    >>> memory, state = model.encode(source_BS), model.init_state(batch=2, max_length=20)
    >>> logits_BTV, state = model(tokens_BT[:, :1], state, memory=memory)  # decoding, token by token
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        options = config.blocks()
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.source_tokens = None if config.tied else nn.Embedding(config.source_vocab, config.width)
        self.positions = SinusoidalPositions(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Stack(options, config.layers)
        self.decoder = Stack(options, config.layers, cross=True)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.shape = StateShape(config.layers, config.heads, config.width // config.heads)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=config.width**-0.5)

    def encode(self, source_BS: Tensor, source_lengths: Tensor | None = None) -> Memory:
        """Encode the source (B, S) into the memory that the decoder attends to.

        ``source_lengths`` (B,) counts the real tokens of each row; the rest is right padding and has no influence.
        Raises ValueError for tokens that are not (B, S), and for lengths outside 1 ... S.
        """
        source_BS = checked_tokens(source_BS, source_lengths, self.config.source_vocab, what="source tokens")
        real_BS, mask = torch.ones_like(source_BS, dtype=torch.bool), None
        if source_lengths is not None:
            real_BS = real_steps(source_BS, source_lengths)
            mask = real_BS[:, None, None]
        table = self.tokens if self.source_tokens is None else self.source_tokens
        position_S = torch.arange(source_BS.shape[1], device=source_BS.device)
        states_BSC = self.encoder(self._embed(table, source_BS, position_S), mask=mask)
        return self.decoder.precompute_memory(states_BSC, real_BS)

    def forward(
        self,
        tokens_BT: Tensor,
        state: KeyValueState | None = None,
        lengths: Tensor | None = None,
        memory: Memory | None = None,
        source: Tensor | None = None,
        source_lengths: Tensor | None = None,
    ) -> tuple[Tensor, KeyValueState | None]:
        """Logits (B, T, V) for the next token at every position, and the new state (None if ``state`` is None).

        Give either ``memory``, the result of ``encode``, or ``source`` (B, S), which is then encoded first. ``state``
        is the key-value cache of the tokens decoded so far; the new tokens continue it. ``lengths`` (B,) counts the
        real tokens of each row; the rest is right padding, whose logits are meaningless. Raises ValueError for tokens
        that are not (B, T), lengths outside 1 ... T, a memory or state of another model or batch, and a full state.
        """
        if (memory is None) == (source is None):
            raise ValueError("the decoder needs either a memory, the result of encode, or a source")
        tokens_BT = checked_tokens(tokens_BT, lengths, self.config.vocab_size)
        batch, length = tokens_BT.shape
        if source is not None:
            if source.shape[0] != batch:
                raise ValueError(f"the source has {source.shape[0]} rows, the tokens have {batch}")
            memory = self.encode(source, source_lengths)
        elif source_lengths is not None:
            raise ValueError("source_lengths belong to a source: a memory has its own")
        cache = (batch, self.shape.layers, self.shape.heads, -1, self.shape.width)
        expect_rows(memory, Memory, ((batch, -1, self.config.width), (batch, -1), cache, cache), "memory")
        position = torch.arange(length, device=tokens_BT.device)
        slots = None
        if state is not None:
            slots = self.shape.slots(state, self.tokens.weight, batch, length)
            position = slots[0].position_BT
        x_BTC = self._embed(self.tokens, tokens_BT, position)
        x_BTC = self.decoder(x_BTC, causal=True, slots=slots, memory=memory)
        logits_BTV = F.linear(x_BTC, self.tokens.weight) if self.head is None else self.head(x_BTC)
        if state is not None:
            state = state.after(length if lengths is None else lengths)
        return logits_BTV, state

    def init_state(self, batch: int, max_length: int) -> KeyValueState:
        """An empty key-value cache for ``batch`` rows of up to ``max_length`` target tokens."""
        return self.shape.empty(self.tokens.weight, batch, max_length)

    def select(self, state: State, index_B: Tensor) -> State:
        """The rows ``index_B`` of a state or memory, in this order; a row may be repeated, as in beam search."""
        return select_rows(state, index_B)

    def _embed(self, table: nn.Embedding, tokens_BT: Tensor, position: Tensor) -> Tensor:
        embedded_BTC = table(tokens_BT) * math.sqrt(self.config.width)
        x_BTC: Tensor = self.dropout(embedded_BTC + self.positions(position, embedded_BTC.dtype))
        return x_BTC


LENGTH = 64
"""number of source and of target tokens in the example"""


def example(config: TransformerConfig, batch: int) -> dict[str, Tensor]:
    """Example inputs for conformance checks and exports: source and target tokens (B, 64), the same at every call."""
    return {
        "tokens_BT": example_tokens(config.vocab_size, batch, LENGTH),
        "source": example_tokens(config.source_vocab, batch, LENGTH, seed=1),
    }


def _row(
    size: str, config: TransformerConfig, parameters: int, macs: int, *bleu: tuple[str, float], small: bool = False
) -> Variant:
    return Variant(
        build=Transformer,
        config=config,
        card=Card(
            title=f"Transformer ({size})",
            summary=f"Encoder and decoder of {config.layers} blocks each, of attention alone, for translation.",
            paper="Attention Is All You Need",
            authors="Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin",
            year=2017,
            arxiv="1706.03762",
            inputs=("text",),
            tasks=("translation",),
            input=(LENGTH,),
            parameters=parameters,
            macs=macs,
            reported=tuple(
                Reported(dataset=dataset, metric="BLEU", value=value, source="the paper, table 2", note="newstest2014")
                for dataset, value in bleu
            ),
            reference="torch.nn.TransformerEncoder and TransformerDecoder",
            differences=(
                "biases in the projections of the attention (tensor2tensor: none); exact counts (paper: 65M, 213M)",
                "three blocks of 256 channels, 8,000 pieces: for small sets, not in the paper"
                if small
                else "one vocabulary of 37,000 pieces, as the paper's for English and German",
            ),
            recipe="transformer",
            aliases=("transformer",) if size == "base" else (),
        ),
        small={"vocab_size": 31, "layers": 2, "width": 16, "heads": 2, "hidden": 32},
        example=example,
    )


VARIANTS = {
    "transformer-small": _row(
        "small",
        TransformerConfig(vocab_size=8_000, layers=3, width=256, heads=4, hidden=1024),
        7_577_600,
        502_267_904,
        small=True,
    ),
    "transformer-base": _row(
        "base",
        TransformerConfig(),
        63_082_496,
        4_106_485_760,
        ("WMT14 English-German", 27.3),
        ("WMT14 English-French", 38.1),
    ),
    "transformer-big": _row(
        "big",
        TransformerConfig(width=1024, heads=16, hidden=4096, dropout=0.3),
        214_245_376,
        13_850_116_096,
        ("WMT14 English-German", 28.4),
        ("WMT14 English-French", 41.8),
    ),
}
