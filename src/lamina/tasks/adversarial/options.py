"""Options of the verbs of adversarial networks. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AdversarialSampleOptions:
    """What an adversarial network generates. Raises UsageError for values out of range.

    Example: ``run.generate(count=16, seed=1)``, ``run.generate(interpolate=(0, 5), count=9)``
    """

    count: int = 16
    """number of samples, or of steps"""
    seed: int = field(default=0, metadata={"limit": None})
    """seed of the codes that are drawn"""
    label: str | None = field(default=None, metadata={"no_path": True})
    """conditional models: the class to generate (default: all in turn)"""
    interpolate: tuple[int, ...] | None = field(default=None, metadata={"together": "I J"})
    """from the code of sample I of the seed to that of sample J, the first being 0, instead of drawing"""
    path: Literal["spherical", "linear"] | None = None
    """of interpolate: along the great circle between the two codes, or straight (default: spherical for codes from
    N(0, 1), straight for uniform ones)"""
    raw: bool = False
    """the weights of the last checkpoint in place of their average"""
    recalibrate: int | None = None
    """measure the generator's batch-norm statistics anew, on so many samples that it generates"""
    over_training: bool = False
    """instead of new samples the pictures that were kept after each epoch, always of the same codes; the command line
    writes them as a GIF, of at most 24 of them"""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.recalibrate is not None and self.recalibrate < 2:
            raise UsageError(f"recalibrate needs at least 2 samples for a variance, got {self.recalibrate}")
        if self.interpolate is not None:
            if len(self.interpolate) != 2 or min(self.interpolate) < 0:
                raise UsageError(
                    f"interpolate goes from one sample of the seed to another: give two numbers from 0 on, got "
                    f"{' '.join(map(str, self.interpolate)) or 'none'}"
                )
            if self.count == 1:
                raise UsageError("a path has at least 2 steps, got count=1")
        elif self.path is not None:
            raise UsageError("path is of interpolate: give interpolate (--interpolate I J), too")
        if self.over_training:
            for name in ("label", "interpolate", "raw", "recalibrate"):
                if getattr(self, name) not in (None, False):
                    raise UsageError(f"over_training shows pictures that were kept: {name} is for new samples")
