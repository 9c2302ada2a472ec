"""Stochastic depth: whole residual branches left out while training (Huang et al. 2016, arXiv 1603.09382)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """In training each sample's branch is set to zero with probability ``rate``, else divided by ``1 - rate``.

    Any shape with the batch first; in evaluation the identity.
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
    """The rate of each of ``blocks`` blocks, rising linearly from 0.

    ``inclusive``: the last block's is ``last`` (i / (n - 1): Swin, ConvNeXt); else one step below it (i / n:
    EfficientNet).
    """
    steps = max(blocks - 1, 1) if inclusive else blocks
    return [last * block / steps for block in range(blocks)]
