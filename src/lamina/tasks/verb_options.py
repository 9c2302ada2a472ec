"""Options of verbs shared by several tasks. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """No options."""


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """Options of evaluate for tasks that predict targets."""

    crops: int = 1
    """images: 10 averages over ten crops: corners and centre, and their mirror images"""

    def __post_init__(self) -> None:
        if self.crops not in (1, 10):
            raise UsageError(f"crops must be 1 or 10, got {self.crops}")
