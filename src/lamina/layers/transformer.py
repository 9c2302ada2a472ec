"""Transformer blocks (Vaswani et al. 2017, arXiv 1706.03762, section 3.1), and stacks of them.

Legend: B batch, T tokens, S memory positions, C channels, F hidden units, L layers, H heads, D channels of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from lamina.layers.activations import Activation, activation
from lamina.layers.key_value import Slots
from lamina.layers.linear import Linear
from lamina.layers.multi_head import MultiHeadAttention

NormPlace = Literal["first", "last"]
"""Pre-norm: before each sublayer (Xiong et al. 2020, arXiv 2002.04745); or post-norm: after each sum (the paper)."""


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Options shared by all blocks of a stack. Raises ValueError for options out of range or a width that the number of
    heads does not divide."""

    width: int
    heads: int
    hidden: int
    """units of the feed-forward layer"""
    norm: NormPlace
    activation: Activation
    dropout: float
    """dropout rate of each sublayer's output"""
    attention_dropout: float
    """dropout rate of the attention maps"""

    def __post_init__(self) -> None:
        if min(self.width, self.heads, self.hidden) < 1:
            raise ValueError("width, heads and hidden must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"the width {self.width} is not divisible by {self.heads} heads")
        if self.norm not in ("first", "last"):
            raise ValueError(f"norm must be 'first' or 'last', got '{self.norm}'")
        for name in ("dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


class Memory(NamedTuple):
    """The encoder's output for a source, with the keys and values of every decoder layer for it."""

    states_BSC: Tensor
    real_BS: Tensor
    """bool: True where the source has a token, False at padding"""
    keys_BLHSD: Tensor
    values_BLHSD: Tensor


class TransformerBlock(nn.Module):
    """Self-attention, with ``cross`` also attention to a memory, and a feed-forward layer, each with a residual
    connection: (B, T, C) -> (B, T, C).

    Pre-norm: x + dropout(sublayer(norm(x))); post-norm: norm(x + dropout(sublayer(x))).
    """

    def __init__(self, options: BlockOptions, *, cross: bool = False) -> None:
        super().__init__()
        width = options.width
        multi_head = partial(MultiHeadAttention, width, options.heads, dropout=options.attention_dropout)
        self.norm_first = options.norm == "first"
        self.attention = multi_head()
        self.attention_norm = nn.LayerNorm(width)
        self.cross = multi_head() if cross else None
        if self.cross is not None:
            self.cross.called_apart = ("keys_values",)  # once per source, not in the block's forward
        self.cross_norm = nn.LayerNorm(width) if cross else None
        self.expand = Linear(width, options.hidden)
        self.activation = activation(options.activation)
        self.contract = Linear(options.hidden, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self,
        x_BTC: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        slots: Slots | None = None,
        memory: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> Tensor:
        """``mask`` is True where a token may attend, and broadcasts to (B, H, T, T); ``memory`` holds the keys and
        values (B, H, S, D) of the source and their mask. Raises ValueError if a memory is needed but not given."""
        new_BTC = self.attention(self._before(x_BTC, self.attention_norm), mask=mask, causal=causal, slots=slots)
        x_BTC = self._after(x_BTC, new_BTC, self.attention_norm)
        if self.cross is not None and self.cross_norm is not None:
            if memory is None:
                raise ValueError("this block attends to a memory, but got none")
            new_BTC = self.cross(self._before(x_BTC, self.cross_norm), memory[:2], mask=memory[2])
            x_BTC = self._after(x_BTC, new_BTC, self.cross_norm)
        hidden_BTF = self.activation(self.expand(self._before(x_BTC, self.feed_forward_norm)))
        return self._after(x_BTC, self.contract(hidden_BTF), self.feed_forward_norm)

    def _before(self, x_BTC: Tensor, norm: nn.LayerNorm) -> Tensor:
        return cast(Tensor, norm(x_BTC)) if self.norm_first else x_BTC

    def _after(self, x_BTC: Tensor, new_BTC: Tensor, norm: nn.LayerNorm) -> Tensor:
        sum_BTC: Tensor = x_BTC + self.dropout(new_BTC)
        return sum_BTC if self.norm_first else cast(Tensor, norm(sum_BTC))


class Stack(nn.Module):
    """Blocks in sequence, followed by a last normalisation if they are pre-norm: (B, T, C) -> (B, T, C).

    >>> options = BlockOptions(
    ...     width=16, heads=2, hidden=64, norm="first", activation="gelu", dropout=0.1, attention_dropout=0.0
    ... )
    >>> Stack(options, layers=2)(torch.randn(3, 10, 16), causal=True).shape
    torch.Size([3, 10, 16])
    """

    def __init__(self, options: BlockOptions, layers: int, *, cross: bool = False) -> None:
        super().__init__()
        self.options = options
        self.blocks = nn.ModuleList(TransformerBlock(options, cross=cross) for _ in range(layers))
        self.norm = nn.LayerNorm(options.width) if options.norm == "first" else nn.Identity()

    def forward(
        self,
        x_BTC: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        slots: Sequence[Slots] | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Arguments as of the blocks; ``slots`` has one entry per block."""
        for layer, block in enumerate(self.blocks):
            layer_memory = None
            if memory is not None:
                real_B11S = memory.real_BS[:, None, None]
                layer_memory = (memory.keys_BLHSD[:, layer], memory.values_BLHSD[:, layer], real_B11S)
            layer_slots = None if slots is None else slots[layer]
            x_BTC = block(x_BTC, mask=mask, causal=causal, slots=layer_slots, memory=layer_memory)
        return cast(Tensor, self.norm(x_BTC))

    def precompute_memory(self, states_BSC: Tensor, real_BS: Tensor) -> Memory:
        """The memory that the ``cross`` blocks attend to, from encoder states (B, S, C) and their mask (B, S): keys and
        values are computed once per source, not once per step."""
        blocks = cast(list[TransformerBlock], list(self.blocks))
        pairs = [block.cross.keys_values(states_BSC) for block in blocks if block.cross is not None]
        keys_BLHSD, values_BLHSD = (torch.stack(tensors, 1) for tensors in zip(*pairs, strict=True))
        return Memory(states_BSC, real_BS, keys_BLHSD, values_BLHSD)


def initialise(model: nn.Module, layers: int) -> None:
    """Initialise as GPT-2 (Radford et al. 2019): weights and embeddings N(0, 0.02^2), biases 0; the standard deviation
    of the projections that write to the residual stream is divided by sqrt(2 ``layers``)."""
    for part in model.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    for part in model.modules():
        if isinstance(part, TransformerBlock):
            for layer in (part.attention.out, part.contract):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))
