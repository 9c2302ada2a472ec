"""Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762, equation 1): the one copy that all models use.

Legend: B batch, H heads, T queries, S keys, D channels of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def attention(
    q_BHTD: Tensor,
    k_BHSD: Tensor,
    v_BHSD: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    need_map: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(q k^T / sqrt(D) + mask) v, (B, H, T, D), and with ``need_map`` the attention map (B, H, T, S), else None.

    ``mask`` broadcasts to (B, H, T, S): either bool, True where a query may attend to a key, or a bias added to the
    scores. With ``causal``, query t attends to the keys up to t + S - T, so the last query sees all of them.
    ``dropout`` is the probability of dropping an entry of the map; pass 0 in evaluation. A query with every key masked
    gives zeros. Raises ValueError if both ``mask`` and ``causal`` are given.

    >>> q = k = v = torch.randn(2, 4, 10, 16)
    >>> out, attn = attention(q, k, v, causal=True, need_map=True)
    >>> out.shape, attn.shape
    (torch.Size([2, 4, 10, 16]), torch.Size([2, 4, 10, 10]))
    """
    if causal and mask is not None:
        raise ValueError("give a mask or causal=True, not both")
    length, keys = q_BHTD.shape[-2], k_BHSD.shape[-2]
    if causal and (need_map or length != keys):
        mask = torch.ones(length, keys, dtype=torch.bool, device=q_BHTD.device).tril(keys - length)
    # torch has no fused CPU kernel for a bias that needs a gradient, and would compute bfloat16 inputs in float32.
    written_out = (
        q_BHTD.dtype == torch.bfloat16 and q_BHTD.device.type == "cpu" and mask is not None and mask.requires_grad
    )
    if not need_map and not written_out:
        is_causal = causal and mask is None
        out_BHTD = F.scaled_dot_product_attention(
            q_BHTD, k_BHSD, v_BHSD, attn_mask=mask, dropout_p=dropout, is_causal=is_causal
        )
        return out_BHTD, None
    scores_BHTS = (q_BHTD / math.sqrt(q_BHTD.shape[-1])) @ k_BHSD.transpose(-2, -1)
    if mask is None:
        attn_BHTS = scores_BHTS.softmax(-1)
        return F.dropout(attn_BHTS, dropout) @ v_BHSD, attn_BHTS
    bias = mask
    if mask.dtype == torch.bool:
        bias = torch.zeros_like(mask, dtype=scores_BHTS.dtype).masked_fill(~mask, -math.inf)
    fully_masked = bias.isneginf().all(-1, keepdim=True)
    attn_BHTS = (scores_BHTS + bias.masked_fill(fully_masked, 0.0)).softmax(-1)
    out_BHTD = (F.dropout(attn_BHTS, dropout) @ v_BHSD).masked_fill(fully_masked, 0.0)
    return out_BHTD, attn_BHTS.masked_fill(fully_masked, 0.0) if need_map else None
