"""Paths between two codes of a generating model.

Legend: N samples, L numbers of a code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.errors import UsageError


def between(first: Tensor, last: Tensor, share_N: Tensor, path: str) -> Tensor:
    """Codes (N, L) from one (L,) to another: straight, or with direction and length turned evenly (spherical)."""
    share_N1 = share_N[:, None]
    if path == "linear":
        return (1 - share_N1) * first + share_N1 * last
    lengths = first.norm(), last.norm()
    if not (lengths[0] > 0 and lengths[1] > 0):
        raise UsageError("the spherical path needs two codes other than zero: use --path linear")
    ends = first / lengths[0], last / lengths[1]
    angle = torch.arccos((ends[0] @ ends[1]).clamp(-1, 1))
    if torch.sin(angle) < 1e-6:
        if angle > 1:
            raise UsageError("the two codes are opposite: no great circle is the shortest; use --path linear")
        return (1 - share_N1) * first + share_N1 * last
    turned = torch.sin((1 - share_N1) * angle) * ends[0] + torch.sin(share_N1 * angle) * ends[1]
    scaled: Tensor = turned / torch.sin(angle) * ((1 - share_N1) * lengths[0] + share_N1 * lengths[1])
    return scaled
