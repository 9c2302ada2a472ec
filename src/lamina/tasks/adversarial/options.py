"""Options of the verbs of adversarial networks. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AdversarialSampleOptions:
    """What an adversarial network generates. Raises UsageError for values out of range.

    Example: ``run.generate(count=16, seed=1)``, ``run.generate(count=4, label="7")``
    """

    count: int = 16
    """number of samples, or of steps"""
    seed: int = 0
    """seed of the codes that are drawn"""
    label: str | None = None
    """conditional models: the class to generate (default: all in turn)"""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
