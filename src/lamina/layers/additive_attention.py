"""Attention for recurrent decoders, one decoding step per call: additive (Bahdanau et al. 2015, arXiv 1409.0473) and
multiplicative (Luong et al. 2015, arXiv 1508.04025).

Both classes have ``prepare(values_BSD) -> keys``, computed once per source, and ``forward(query_BQ, keys, values_BSD,
real_BS)``, which returns the context (B, D) and the attention weights (B, S). ``real_BS`` is False at padding, where
the weights are zero.

    >>> attention = AdditiveAttention(query_size=8, value_size=6, size=5)
    >>> values_BSD, real_BS = torch.randn(2, 7, 6), torch.ones(2, 7, dtype=torch.bool)
    >>> context_BD, attn_BS = attention(torch.randn(2, 8), attention.prepare(values_BSD), values_BSD, real_BS)
    >>> context_BD.shape, attn_BS.shape
    (torch.Size([2, 6]), torch.Size([2, 7]))

Legend: B batch, S source positions, Q query width, D width of a source state, A width of the alignment layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Score = Literal["additive", "concat", "dot", "general"]


class AdditiveAttention(nn.Module):
    """e_ij = v^T tanh(W s_i + U h_j), a = softmax_j(e), c_i = sum_j a_ij h_j.

    Luong's "concat" score, v^T tanh(W [s_i; h_j]), is the same function with W split into two matrices.
    """

    def __init__(self, query_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size, bias=False)
        self.key = nn.Linear(value_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def prepare(self, values_BSD: Tensor) -> Tensor:
        """The keys U h_j, (B, S, A)."""
        keys_BSA: Tensor = self.key(values_BSD)
        return keys_BSA

    def forward(self, query_BQ: Tensor, keys_BSA: Tensor, values_BSD: Tensor, real_BS: Tensor) -> tuple[Tensor, Tensor]:
        query_BA = self.query(query_BQ)
        v_BA = self.score.weight * torch.ones_like(query_BA)
        scores_BS1 = torch.bmm(torch.tanh(query_BA.unsqueeze(1) + keys_BSA), v_BA.unsqueeze(2))
        return _attend(scores_BS1.squeeze(2), values_BSD, real_BS)


class MultiplicativeAttention(nn.Module):
    """e_ij = s_i^T h_j ("dot") or s_i^T W h_j ("general"), without scaling by the width.

    Raises ValueError where "dot" is given queries and source states of different widths.
    """

    def __init__(self, query_size: int, value_size: int, score: Literal["dot", "general"]) -> None:
        super().__init__()
        if score == "dot" and query_size != value_size:
            raise ValueError(
                f"score 'dot' needs queries and source states of one width, got {query_size}, {value_size}"
            )
        self.key = nn.Identity() if score == "dot" else nn.Linear(value_size, query_size, bias=False)

    def prepare(self, values_BSD: Tensor) -> Tensor:
        """The keys h_j or W h_j, (B, S, Q)."""
        keys_BSQ: Tensor = self.key(values_BSD)
        return keys_BSQ

    def forward(self, query_BQ: Tensor, keys_BSQ: Tensor, values_BSD: Tensor, real_BS: Tensor) -> tuple[Tensor, Tensor]:
        return _attend(torch.bmm(keys_BSQ, query_BQ.unsqueeze(2)).squeeze(2), values_BSD, real_BS)


def _attend(scores_BS: Tensor, values_BSD: Tensor, real_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Masked softmax and weighted sum, with bmm and unsqueeze, not @ and [:, None], because of ``loops.unroll``."""
    attn_BS = scores_BS.masked_fill(~real_BS, -torch.inf).softmax(1).to(values_BSD.dtype)
    return torch.bmm(attn_BS.unsqueeze(1), values_BSD).squeeze(1), attn_BS
