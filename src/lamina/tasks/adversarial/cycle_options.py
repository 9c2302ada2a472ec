"""Options of unpaired image translation. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError

Side = Literal["A", "B"]
ADVISED = 0.5
"""the identity weight, of the cycle's, above which a translator learns to do nothing"""


@dataclass(frozen=True, kw_only=True)
class CycleOptions:
    """Options of the objectives of CycleGAN. Raises UsageError for values out of range."""

    cycle: float = 10.0
    """weight of the cycle loss, the L1 distance of a picture to what came back, beside the adversarial loss"""
    identity: float = 0.5
    """weight of the identity loss, the L1 distance that a picture of the wanted side is changed by, in units of the
    cycle's; 0: none. Off where the sides differ in channels"""
    pool: int = 50
    """generated pictures of each side that are kept: half of those that the discriminator sees are such; 0: none"""
    discriminator_rate: float = 1.0
    """factor on the discriminators' learning rate"""

    def __post_init__(self) -> None:
        for name in ("cycle", "identity", "pool"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name):g}")
        if not 0 < self.discriminator_rate < math.inf:
            raise UsageError(f"discriminator_rate must be greater than 0, got {self.discriminator_rate:g}")


@dataclass(frozen=True, kw_only=True)
class DirectionOptions:
    """Options of predict for image translation.

    Example: ``run.predict("photos/", to="A")``
    """

    to: Side = "B"
    """side that pictures are translated to; the command line writes them to --out FOLDER"""
