"""Multi-head attention (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2).

Legend: B batch, T queries, S keys, C channels, H heads, D = C / H channels of a head.
"""

from __future__ import annotations

from torch import Tensor, nn

from lamina.layers.attention import attention
from lamina.layers.key_value import Slots
from lamina.layers.linear import Linear, linear


class MultiHeadAttention(nn.Module):
    """head_h = softmax(q_h k_h^T / sqrt(D)) v_h, concatenated and projected: (B, T, C) -> (B, T, C).

    ``qkv`` projects to the queries, keys and values of all heads at once, in this order, with the layout and the
    initialisation of ``nn.MultiheadAttention.in_proj_weight``: Xavier uniform, biases 0. ``dropout`` acts on the
    attention map in training. Masks are True where a query may attend (in torch's module: where it may not).
    Raises ValueError if the width is not divisible by the number of heads.

    >>> MultiHeadAttention(width=16, heads=4)(torch.randn(2, 10, 16), causal=True).shape
    torch.Size([2, 10, 16])
    """

    called_apart: tuple[str, ...] = ()
    """methods that are called outside the forward of the module that holds this one"""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if width < 1 or heads < 1 or width % heads:
            raise ValueError(f"the width {width} is not divisible by {heads} heads")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.qkv = Linear(width, 3 * width, bias=bias)
        self.out = Linear(width, width, bias=bias)
        nn.init.xavier_uniform_(self.qkv.weight)
        for layer in (self.qkv, self.out):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        x_BTC: Tensor,
        memory: tuple[Tensor, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        slots: Slots | None = None,
    ) -> Tensor:
        """Self-attention of x, or cross-attention to a ``memory``: the keys and values (B, H, S, D) of ``keys_values``.

        ``mask`` broadcasts to (B, H, T, S). With the ``slots`` of a key-value cache, the tokens also attend to the
        cached ones, and the slots' mask replaces ``mask`` and ``causal``.
        """
        return self.attend(x_BTC, memory, mask=mask, causal=causal, slots=slots)[0]

    def attend(
        self,
        x_BTC: Tensor,
        memory: tuple[Tensor, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        slots: Slots | None = None,
        need_map: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output of ``forward``, and with ``need_map`` the attention map (B, H, T, S), else None."""
        if memory is not None:
            (q_BHTD,) = self._project(x_BTC, 0, self.width)
            k_BHSD, v_BHSD = memory
        else:
            q_BHTD, k_BHSD, v_BHSD = self._heads(self.qkv(x_BTC))
        if slots is not None:
            k_BHSD, v_BHSD = slots.store(k_BHSD, v_BHSD)
            mask, causal = slots.mask_B1TS, slots.causal
        dropout = self.dropout if self.training else 0.0
        out_BHTD, attn_BHTS = attention(
            q_BHTD, k_BHSD, v_BHSD, mask=mask, causal=causal, dropout=dropout, need_map=need_map
        )
        return self.out(out_BHTD.transpose(1, 2).flatten(2)), attn_BHTS

    def keys_values(self, memory_BSC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D) of a memory (B, S, C), to be passed to ``forward``."""
        k_BHSD, v_BHSD = self._project(memory_BSC, self.width, 3 * self.width)
        return k_BHSD, v_BHSD

    def _project(self, x: Tensor, first: int, last: int) -> list[Tensor]:
        """Project with rows ``first`` to ``last`` of the fused projection only."""
        bias = None if self.qkv.bias is None else self.qkv.bias[first:last]
        return self._heads(linear(x, self.qkv.weight[first:last], bias))

    def _heads(self, projected: Tensor) -> list[Tensor]:
        """Split into heads: (B, T, n C) -> n tensors (B, H, T, D)."""
        parts = projected.shape[-1] // self.width
        split = projected.unflatten(-1, (parts, self.heads, self.width // self.heads))
        return [part.transpose(1, 2) for part in split.unbind(2)]

    def extra_repr(self) -> str:
        return f"width={self.width}, heads={self.heads}, dropout={self.dropout}"
