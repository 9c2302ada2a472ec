"""Stochastic depth: whole residual branches dropped in training (Huang et al. 2016, arXiv 1603.09382)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """In training each sample's branch is zeroed with probability ``rate`` and otherwise divided by ``1 - rate``.

    Any shape with the batch first; the identity in evaluation. Raises ValueError for a rate outside [0, 1).

    >>> StochasticDepth(0.5).eval()(torch.ones(2, 3)).sum()
    tensor(6.)
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"the rate of stochastic depth must lie in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        kept = torch.empty((len(branch), *(1,) * (branch.ndim - 1)), dtype=branch.dtype, device=branch.device)
        return branch * kept.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def rising_rates(last: float, blocks: int, *, inclusive: bool) -> list[float]:
    """Drop rates of ``blocks`` blocks, rising linearly from 0.

    ``inclusive``: the last block has the rate ``last`` (i / (n - 1), as in Swin and ConvNeXt), else one step less
    (i / n, as in EfficientNet).

    >>> rising_rates(0.2, 5, inclusive=True)
    [0.0, 0.05, 0.1, 0.15000000000000002, 0.2]
    """
    steps = max(blocks - 1, 1) if inclusive else blocks
    return [last * block / steps for block in range(blocks)]
