"""Options of style transfer. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class PerceptualOptions:
    """Options of the objective "perceptual" (Johnson et al. 2016). Raises UsageError for values out of range."""

    style: str = ""
    """picture of the style (train --style PICTURE)"""
    style_size: int = 256
    """longer side that it is resized to, in pixels; 0: its own"""
    features: str = "vgg16"
    """net whose features are compared: a vgg or a squeezenet"""
    weights: str | None = None
    """its published weights; without them it is random, drawn from the seed"""
    style_weight: float = 5.0
    """weight of the style loss"""
    content_weight: float = 1.0
    """weight of the content loss"""
    tv_weight: float = 1e-6
    """weight of the total variation of grey levels from 0 to 255"""

    def __post_init__(self) -> None:
        _expect_weights(self, ("style_weight", "content_weight", "tv_weight"))
        if self.style_size < 0:
            raise UsageError(f"style_size must be at least 0, got {self.style_size}")


@dataclass(frozen=True, kw_only=True)
class AdaptiveOptions:
    """Options of the objective "adaptive" (Huang and Belongie 2017). Raises UsageError for values out of range."""

    weights: str | None = None
    """published weights of VGG-19 for the encoder; without them it is random, drawn from the seed"""
    style_weight: float = 10.0
    """weight of the style loss beside the content loss"""

    def __post_init__(self) -> None:
        _expect_weights(self, ("style_weight",))


@dataclass(frozen=True, kw_only=True)
class BlendOptions:
    """How a picture is stylised by a net for any style. Raises UsageError for values out of range."""

    alpha: float = 1.0
    """from 0, the content reconstructed, to 1, the style"""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must lie in [0, 1], got {self.alpha:g}")


def _expect_weights(options: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(options, name)
        if not 0 <= value < float("inf"):
            raise UsageError(f"{name} must be at least 0, got {value:g}")
