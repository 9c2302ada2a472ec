"""A diagonal Gaussian as a pair of tensors.

A NamedTuple and no ``torch.distributions.Normal``: under mixed precision its tensors come back in float32, as every
output of a model does, whereas those inside an object stay bfloat16.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """N(mean, exp(log_variance)), element by element.

    >>> q = Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    >>> q.draw().shape
    torch.Size([2, 3])
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self) -> Tensor:
        """mean + exp(log_variance / 2) noise, with noise from torch's default generator."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)
