"""Corruption of inputs, for denoising autoencoders. Random numbers are torch's default generator's.

Legend: B batch.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lamina.errors import UsageError

Corruption = Literal["none", "masking", "gaussian", "salt-and-pepper"]


def check_level(corruption: str, level: float) -> None:
    """Raise UsageError for a level that the corruption cannot have."""
    if corruption == "gaussian" and level < 0:
        raise UsageError(f"level is the standard deviation of gaussian noise and must not be negative, got {level}")
    if corruption in ("masking", "salt-and-pepper") and not 0 <= level <= 1:
        raise UsageError(f"level is the share of values that {corruption} changes, from 0 to 1, got {level}")


def expect_bounds(corruption: str, bounds: tuple[float, float] | None) -> None:
    """Raise UsageError where salt and pepper need the lowest and the highest value of the data and there are none."""
    if corruption == "salt-and-pepper" and bounds is None:
        raise UsageError(
            "salt-and-pepper sets values to the lowest or the highest there is, but these have no bounds: "
            "use masking or gaussian"
        )


def corrupted(x: Tensor, corruption: str, level: float, bounds: tuple[float, float] | None) -> Tensor:
    """``x`` corrupted. masking: a share ``level`` of the values set to 0; gaussian: noise of that standard deviation
    added; salt-and-pepper: that share set to the lowest or the highest value, half of it each."""
    if corruption == "none":
        return x
    if corruption == "gaussian":
        return x + level * torch.randn_like(x)
    uniform = torch.rand_like(x)
    if corruption == "masking":
        return x.masked_fill(uniform < level, 0.0)
    assert bounds is not None
    low, high = bounds
    return x.masked_fill(uniform < level / 2, low).masked_fill((uniform >= level / 2) & (uniform < level), high)
