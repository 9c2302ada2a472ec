"""Multi-head attention (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2).

Legend: B batch, T queries, S keys, C channels, H heads, D = C / H channels of a head.
"""

from __future__ import annotations

from torch import Tensor, nn
import torch.nn.functional as F

from lamina.layers.attention import attention
from lamina.layers.key_value import Slots


class MultiHeadAttention(nn.Module):
    """head_h = softmax(q_h k_h^T / sqrt(D)) v_h, concatenated and projected: (B, T, C) -> (B, T, C).

    ``qkv`` projects to queries, keys and values of all heads at once; its rows stand in this order, as those of
    ``nn.MultiheadAttention.in_proj_weight`` do, and so it starts: Xavier uniform, biases 0. ``dropout`` acts on the
    attention map, in training. Masks are True where a query may look (torch's module: True where it may not).
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if width < 1 or heads < 1 or width % heads:
            raise ValueError(f"the width {width} is not divisible by {heads} heads")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        nn.init.xavier_uniform_(self.qkv.weight)
        for layer in (self.qkv, self.out):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(
        self, x_BTC: Tensor, *, mask: Tensor | None = None, causal: bool = False, slots: Slots | None = None
    ) -> Tensor:
        """Self-attention; ``mask`` broadcasts to (B, H, T, T). With ``slots`` of a state the tokens look at what they
        hold, too, and their own mask counts."""
        return self.attend(x_BTC, mask=mask, causal=causal, slots=slots)[0]

    def attend(
        self,
        x_BTC: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        slots: Slots | None = None,
        need_map: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """``forward``, and the attention map (B, H, T, S) where ``need_map`` asks for it."""
        q_BHTD, k_BHSD, v_BHSD = self._heads(self.qkv(x_BTC))
        if slots is not None:
            k_BHSD, v_BHSD = slots.store(k_BHSD, v_BHSD)
            mask, causal = slots.mask_B1TS, slots.causal
        return self._attend(q_BHTD, k_BHSD, v_BHSD, mask, causal, need_map)

    def keys_values(self, memory_BSC: Tensor) -> list[Tensor]:
        """The keys and the values (B, H, S, D) of a memory, for ``cross``."""
        return self._heads(F.linear(memory_BSC, *self._rows(self.width, None)))

    def cross(
        self,
        x_BTC: Tensor,
        k_BHSD: Tensor,
        v_BHSD: Tensor,
        *,
        mask: Tensor | None = None,
        need_map: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of x to the keys and values of a memory; ``mask`` broadcasts to (B, H, T, S). The map as above."""
        (q_BHTD,) = self._heads(F.linear(x_BTC, *self._rows(0, self.width)))
        return self._attend(q_BHTD, k_BHSD, v_BHSD, mask, False, need_map)

    def _rows(self, first: int, last: int | None) -> tuple[Tensor, Tensor | None]:
        """Rows of the fused projection's weight and bias."""
        return self.qkv.weight[first:last], None if self.qkv.bias is None else self.qkv.bias[first:last]

    def _heads(self, projected: Tensor) -> list[Tensor]:
        """(B, T, n C) -> n times (B, H, T, D)."""
        parts = projected.shape[-1] // self.width
        split = projected.unflatten(-1, (parts, self.heads, self.width // self.heads))
        return [part.transpose(1, 2) for part in split.unbind(2)]

    def _attend(
        self, q_BHTD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, mask: Tensor | None, causal: bool, need_map: bool
    ) -> tuple[Tensor, Tensor | None]:
        out_BHTD, attn_BHTS = attention(
            q_BHTD,
            k_BHSD,
            v_BHSD,
            mask=mask,
            causal=causal,
            dropout=self.dropout if self.training else 0.0,
            need_map=need_map,
        )
        return self.out(out_BHTD.transpose(1, 2).flatten(2)), attn_BHTS

    def extra_repr(self) -> str:
        return f"width={self.width}, heads={self.heads}, dropout={self.dropout}"
