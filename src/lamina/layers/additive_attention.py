"""The attention of recurrent decoders: additive (Bahdanau et al. 2015, arXiv 1409.0473) and multiplicative (Luong et
al. 2015, arXiv 1508.04025).

Both have ``prepare(values_BSD) -> keys``, done once for a source, and ``forward(query_BTQ, keys, values_BSD, real_BS)``
-> context (B, T, D) and map (B, T, S), which is zero at padding.

Legend: B batch, T queries, S source positions, Q width of a query, D of a source state, A of the alignment.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.layers.attention import attention

Score = Literal["additive", "concat", "dot", "general"]


class AdditiveAttention(nn.Module):
    """e_ij = v^T tanh(W s_i + U h_j), a = softmax_j(e), c_i = sum_j a_ij h_j.

    Luong's "concat", v^T tanh(W [s_i; h_j]), is the same with W in two parts.
    """

    def __init__(self, query_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size, bias=False)
        self.key = nn.Linear(value_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def prepare(self, values_BSD: Tensor) -> Tensor:
        """U h_j, (B, S, A)."""
        keys_BSA: Tensor = self.key(values_BSD)
        return keys_BSA

    def forward(
        self, query_BTQ: Tensor, keys_BSA: Tensor, values_BSD: Tensor, real_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        scores_BTS = self.score(torch.tanh(self.query(query_BTQ)[:, :, None] + keys_BSA[:, None])).squeeze(-1)
        attn_BTS = scores_BTS.masked_fill(~real_BS[:, None], -torch.inf).softmax(-1)
        return attn_BTS.to(values_BSD.dtype) @ values_BSD, attn_BTS


class MultiplicativeAttention(nn.Module):
    """e_ij = s_i^T h_j ("dot") or s_i^T W h_j ("general"), not divided by the root of the width.

    Raises ValueError for "dot" of queries and source states of different widths.
    """

    def __init__(self, query_size: int, value_size: int, score: Literal["dot", "general"]) -> None:
        super().__init__()
        if score == "dot" and query_size != value_size:
            raise ValueError(
                f"score 'dot' needs queries and source states of one width, got {query_size}, {value_size}"
            )
        self.key = nn.Identity() if score == "dot" else nn.Linear(value_size, query_size, bias=False)

    def prepare(self, values_BSD: Tensor) -> Tensor:
        """h_j or W h_j, (B, S, Q)."""
        keys_BSQ: Tensor = self.key(values_BSD)
        return keys_BSQ

    def forward(
        self, query_BTQ: Tensor, keys_BSQ: Tensor, values_BSD: Tensor, real_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        scaled_B1TQ = query_BTQ[:, None] * math.sqrt(query_BTQ.shape[-1])  # the division that attention() does, undone
        context_B1TD, attn_B1TS = attention(
            scaled_B1TQ, keys_BSQ[:, None], values_BSD[:, None], mask=real_BS[:, None, None], need_map=True
        )
        assert attn_B1TS is not None
        return context_B1TD[:, 0], attn_B1TS[:, 0]
