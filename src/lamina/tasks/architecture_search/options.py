"""Options of the objectives of architecture search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SharingOptions:
    """Options of every objective: the second player's optimiser, Adam at a constant rate, and its share of the data."""

    lr: float
    """learning rate of the architecture's player"""
    beta1: float
    """decay rate of the first moment of its Adam"""
    beta2: float = 0.999
    """decay rate of the second moment of its Adam"""
    weight_decay: float = 0.0
    """its weight decay, L2 in the gradient"""
    share: float = 0.5
    """share of the training data that it learns from; the weights learn from the rest"""
    warmup: float = 0.0
    """share of training in which the weights alone are trained"""

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise UsageError(f"lr must be greater than 0, got {self.lr}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight_decay must not be negative, got {self.weight_decay}")
        if not 0 < self.share < 1:
            raise UsageError(f"share must lie between 0 and 1, got {self.share}")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup must lie in [0, 1), got {self.warmup}")


@dataclass(frozen=True, kw_only=True)
class DartsOptions(SharingOptions):
    """Options of the objective "darts"."""

    lr: float = 3e-4
    """learning rate of the alphas"""
    beta1: float = 0.5
    """decay rate of the first moment of their Adam"""
    weight_decay: float = 1e-3
    """their weight decay, L2 in the gradient"""
    order: Literal["first", "second", "differences"] = "first"
    """first: the weights taken as given; second: after a step of the weights that answers the alphas, through which is
    differentiated; differences: the same, the mixed derivative by differences as in the paper, with less memory"""
    xi: float | None = None
    """rate of the virtual step; none: the current learning rate of the weights; 0: the first order"""
    epsilon: float = 0.01
    """differences: length of the steps whose difference is taken"""
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.xi is not None and not 0 <= self.xi < math.inf:
            raise UsageError(f"xi must not be negative, got {self.xi}")
        if not 0 < self.epsilon < math.inf:
            raise UsageError(f"epsilon must be greater than 0, got {self.epsilon}")


@dataclass(frozen=True, kw_only=True)
class EnasOptions(SharingOptions):
    """Options of the objective "enas"."""

    lr: float = 3.5e-3
    """learning rate of the controller"""
    beta1: float = 0.0
    """decay rate of the first moment of its Adam"""
    share: float = 0.1
    """share of the training data that it learns from; the weights learn from the rest"""
    entropy: float = 1e-4
    """weight of the entropy of the controller's choices, which is added to the reward"""
    baseline: float = 0.99
    """decay of the moving average that rewards are compared with"""
    interval: int = 10
    """steps of the weights for each of the controller"""
    samples: int = 10
    """architectures sampled for a step of the controller"""
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.baseline < 1:
            raise UsageError(f"baseline must lie in [0, 1), got {self.baseline}")
        if not 0 <= self.entropy < math.inf:
            raise UsageError(f"entropy must not be negative, got {self.entropy}")
        for name in ("interval", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
