"""Options of the verbs of autoencoders. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class NoisyOptions:
    """Options of evaluate for autoencoders.

    Example: ``run.evaluate(corruption="gaussian", level=0.5)``
    """

    corruption: Literal["none", "masking", "gaussian", "salt-and-pepper"] | None = None
    """judge on inputs corrupted in this way (default: as in training)"""
    level: float | None = None
    """share of values changed, or standard deviation of gaussian noise (default: as in training)"""


@dataclass(frozen=True, kw_only=True)
class BoundOptions:
    """Options of evaluate for variational autoencoders. Raises UsageError for values out of range.

    Example: ``run.evaluate(importance_samples=200)``
    """

    importance_samples: int = 50
    """samples of the importance-weighted bound on log p(x); 0: without it"""

    def __post_init__(self) -> None:
        if self.importance_samples < 0:
            raise UsageError(f"importance_samples must not be negative, got {self.importance_samples}")
