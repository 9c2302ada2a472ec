"""Options of the verbs of generators with styles. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lamina.errors import UsageError
from lamina.tasks.adversarial.options import AdversarialSampleOptions


@dataclass(frozen=True, kw_only=True)
class StyleSampleOptions(AdversarialSampleOptions):
    """What a ProGAN or a StyleGAN generates. Raises UsageError for values out of range.

    Example: ``run.generate(count=16, seed=1, truncation=0.7)``, ``run.generate(style_mix=(4, 5), mix_layer=4)``
    """

    truncation: float = 1.0
    """styles are drawn towards their mean, to this share of the distance: 0 gives one picture"""
    noise: Literal["fixed", "fresh", "none"] = "fixed"
    """noise in the layers: the same for all pictures, another for each, or none"""
    path: Literal["spherical", "linear"] | None = None
    """of interpolate: along the great circle between two z, or straight between two w (default: straight in w; of nets
    without styles as for the others)"""
    style_mix: tuple[int, ...] | None = field(default=None, metadata={"together": "ROWS COLUMNS", "limit": "product"})
    """a matrix of pictures: the layers before mix_layer have the style of the row, the others that of the column; the
    pictures of the styles themselves are beside and above it"""
    mix_layer: int | None = None
    """of style_mix: the first layer with the column's style (default: the middle)"""
    full_size: bool = False
    """of a net that has not grown up: bring pictures to the full size"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.truncation <= 1:
            raise UsageError(f"truncation must lie in [0, 1], got {self.truncation:g}")
        if self.style_mix is not None and (len(self.style_mix) != 2 or min(self.style_mix) < 1):
            raise UsageError(f"style_mix takes two numbers, rows and columns, of at least 1, got {self.style_mix}")
        if self.style_mix is not None and self.interpolate is not None:
            raise UsageError("style_mix and interpolate are alternatives: give one of them")
        if self.mix_layer is not None and self.style_mix is None:
            raise UsageError("mix_layer is for style_mix: give both")
