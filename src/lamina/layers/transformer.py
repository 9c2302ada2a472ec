"""The blocks of a Transformer (Vaswani et al. 2017, arXiv 1706.03762, section 3.1), and stacks of them.

Legend: B batch, T tokens, S positions of a memory, C channels, F hidden units, L layers, H heads, D channels
of a head.
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
"""Normalisation before each sublayer (Xiong et al. 2020, arXiv 2002.04745) or after each sum (the paper)."""


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """What the blocks of a stack have in common."""

    width: int
    heads: int
    hidden: int
    """units of the feed-forward layer"""
    norm: NormPlace
    activation: Activation
    dropout: float
    """share of each sublayer's output dropped in training"""
    attention_dropout: float
    """share of the attention maps' entries dropped in training"""

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
    """What an encoder made of a source, with each decoder layer's keys and values of it."""

    states_BSC: Tensor
    real_BS: Tensor
    """bool: True where the source has a token, False where it is padded"""
    keys_BLHSD: Tensor
    values_BLHSD: Tensor


class TransformerBlock(nn.Module):
    """Self-attention, attention to a memory where ``cross``, and a feed-forward layer, each within a residual:
    (B, T, C) -> (B, T, C)."""

    def __init__(self, options: BlockOptions, *, cross: bool = False) -> None:
        super().__init__()
        width = options.width
        multi_head = partial(MultiHeadAttention, width, options.heads, dropout=options.attention_dropout)
        self.norm_first = options.norm == "first"
        self.attention = multi_head()
        self.attention_norm = nn.LayerNorm(width)
        self.cross = multi_head() if cross else None
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
        """``mask`` is True where a token may look, and broadcasts to (B, H, T, T); ``memory`` holds keys and values
        (B, H, S, D) and such a mask of theirs."""
        new_BTC = self.attention(self._before(x_BTC, self.attention_norm), mask=mask, causal=causal, slots=slots)
        x_BTC = self._after(x_BTC, new_BTC, self.attention_norm)
        if self.cross is not None and self.cross_norm is not None:
            if memory is None:
                raise ValueError("this block attends to a memory, and got none")
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
    """Blocks one after the other; where they normalise first, a last normalisation stands behind them."""

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
        """As the blocks; ``slots`` has an entry for each."""
        for layer, block in enumerate(self.blocks):
            seen = None
            if memory is not None:
                seen = (memory.keys_BLHSD[:, layer], memory.values_BLHSD[:, layer], memory.real_BS[:, None, None])
            own = None if slots is None else slots[layer]
            x_BTC = block(x_BTC, mask=mask, causal=causal, slots=own, memory=seen)
        return cast(Tensor, self.norm(x_BTC))

    def precompute_memory(self, states_BSC: Tensor, real_BS: Tensor) -> Memory:
        """The memory that this stack's ``cross`` blocks attend to: keys and values are calculated once, not a step."""
        blocks = cast(list[TransformerBlock], list(self.blocks))
        pairs = [block.cross.keys_values(states_BSC) for block in blocks if block.cross is not None]
        keys_BLHSD, values_BLHSD = (torch.stack(tensors, 1) for tensors in zip(*pairs, strict=True))
        return Memory(states_BSC, real_BS, keys_BLHSD, values_BLHSD)


def initialise(model: nn.Module, layers: int) -> None:
    """First weights as GPT-2's (Radford et al. 2019): matrices and embeddings from a normal distribution of standard
    deviation 0.02, those of blocks that write into the residual stream divided by sqrt(2 ``layers``), biases 0."""
    for part in model.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    for part in model.modules():
        if isinstance(part, TransformerBlock):
            for layer in (part.attention.out, part.contract):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))
