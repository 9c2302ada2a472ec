"""Options of verbs that several tasks share. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """No options."""


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How a run that predicts targets is evaluated."""

    crops: int = 1
    """of images, 10: the mean over ten windows of each, corners and centre and their mirror images"""

    def __post_init__(self) -> None:
        if self.crops not in (1, 10):
            raise UsageError(f"crops is 1 or 10, got {self.crops}")
