"""Options of style transfer by optimisation. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class GatysOptions:
    """How a picture is optimised (Gatys, Ecker, Bethge 2016). Raises UsageError for values out of range.

    Example: ``GatysOptions(weights="vgg19.pth", size=256, steps=300)``
    """

    features: str = "vgg19"
    """net whose features are compared: a vgg or a squeezenet"""
    weights: str | None = None
    """its published weights; without them it is random, drawn from the seed"""
    size: int = 512
    """longer side of the result in pixels; 0: that of the content picture"""
    steps: int = 300
    """optimisation steps"""
    optimiser: Literal["adam", "lbfgs"] = "adam"
    """adam, or the paper's L-BFGS"""
    rate: float | None = None
    """learning rate; default: 0.05 for adam, 1 for lbfgs"""
    content_weight: float = 1e-4
    """weight of the content loss; 0: the style alone (a texture)"""
    style_weight: float = 1.0
    """weight of the style loss"""
    start: Literal["noise", "content"] = "noise"
    """the first picture"""
    pooling: Literal["max", "average"] = "max"
    """pooling of the net"""
    seed: int = 0
    """seed of the noise, and of random features"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where it is computed; auto: a GPU if there is one"""

    def __post_init__(self) -> None:
        if self.size != 0 and self.size < 32:
            raise UsageError(f"size must be at least 32 pixels, or 0 for the picture's own, got {self.size}")
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, got {self.steps}")
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"rate must be greater than 0, got {self.rate:g}")
        for name in ("content_weight", "style_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be at least 0, got {getattr(self, name):g}")
        if self.content_weight == self.style_weight == 0:
            raise UsageError("content_weight and style_weight are both 0: there is nothing to optimise")
