"""Attention and sinusoidal position encodings.

Paper: Vaswani et al., "Attention is all you need", NIPS 2017, arXiv 1706.03762.

Legend: T queries, S keys, D channels of queries and keys, E of values, H heads, C channels of a token; "..." any
leading dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def softmax(z: Tensor) -> Tensor:
    """p_j = e^z_j / sum_i e^z_i over the last axis, with the maximum subtracted first. A row of only -inf gives NaN."""
    exp = torch.exp(z - z.amax(-1, keepdim=True))
    return exp / exp.sum(-1, keepdim=True)


def entropy(p: Tensor) -> Tensor:
    """-sum_j p_j log p_j over the last axis, in nats, 0 log 0 being 0: at most log n, where all n are equal."""
    return -torch.where(p > 0, p * torch.log(p), 0.0).sum(-1)


def causal_mask(length: int) -> Tensor:
    """(T, T), True where query t may attend to key s: s <= t."""
    t = torch.arange(length)
    return t[None, :] <= t[:, None]


def scaled_dot_product(
    q_TD: Tensor, k_SD: Tensor, v_SE: Tensor, allowed_TS: Tensor | None = None, *, scaled: bool = True
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(D)) v, (..., T, E), and the attention map, (..., T, S) (equation 1).

    ``allowed_TS`` is True where a query may attend to a key; elsewhere the score is -inf and the weight 0.
    ``scaled=False`` omits sqrt(D): for q and k with independent entries of variance 1 the scores then have variance D
    (section 3.2.1, footnote 4).

    >>> out_TE, attn_TS = scaled_dot_product(torch.randn(5, 8), torch.randn(7, 8), torch.randn(7, 4))
    >>> out_TE.shape, attn_TS.shape
    (torch.Size([5, 4]), torch.Size([5, 7]))
    """
    scores_TS = q_TD @ k_SD.transpose(-2, -1)
    if scaled:
        scores_TS = scores_TS / math.sqrt(q_TD.shape[-1])
    if allowed_TS is not None:
        scores_TS = torch.where(allowed_TS, scores_TS, -math.inf)
    attn_TS = softmax(scores_TS)
    return attn_TS @ v_SE, attn_TS


def multi_head(
    x_TC: Tensor, memory_SC: Tensor, heads: Sequence[tuple[Tensor, Tensor, Tensor]], W_out: Tensor
) -> Tensor:
    """concat(head_1, ..., head_H) W_out^T, (..., T, C), with head_h = attention(x W_q^T, memory W_k^T, memory W_v^T)
    (section 3.2.2).

    ``heads`` holds (W_q, W_k, W_v) of each head, (D, C), (D, C) and (E, C); W_out is (C, H E). It is self-attention if
    x is also the memory. No biases, as in the paper.
    """
    outs = [
        scaled_dot_product(x_TC @ W_q.T, memory_SC @ W_k.T, memory_SC @ W_v.T)[0]  # (..., T, E)
        for W_q, W_k, W_v in heads
    ]
    return torch.cat(outs, -1) @ W_out.T


def frequencies(width: int) -> Tensor:
    """w_i = 10000^(-2i/C) for i = 0 ... C/2 - 1, in radians per position, double precision."""
    return 10000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)


def sinusoid(positions_T: Tensor, width: int) -> Tensor:
    """PE(p, 2i) = sin(p w_i), PE(p, 2i+1) = cos(p w_i), (T, C), double precision (section 3.5)."""
    pe_TC = torch.empty(len(positions_T), width, dtype=torch.float64)
    angles = positions_T[:, None].double() * frequencies(width)
    pe_TC[:, 0::2] = torch.sin(angles)
    pe_TC[:, 1::2] = torch.cos(angles)
    return pe_TC


def shift(k: float, width: int) -> Tensor:
    """R_k, (C, C), double precision, with R_k PE(p) = PE(p + k) for every p: it rotates each (sin, cos) by k w_i.

    sin(a + b) = sin a cos b + cos a sin b; cos(a + b) = cos a cos b - sin a sin b. Each pair of rows of R_k is thus
    (cos k w_i, sin k w_i) and (-sin k w_i, cos k w_i), in the columns of the pair, with zeros elsewhere.
    """
    R_CC = torch.zeros(width, width, dtype=torch.float64)
    for i, angle in enumerate((k * frequencies(width)).tolist()):
        sine, cosine = math.sin(angle), math.cos(angle)
        rotation_22 = torch.tensor([[cosine, sine], [-sine, cosine]], dtype=torch.float64)
        R_CC[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = rotation_22
    return R_CC
