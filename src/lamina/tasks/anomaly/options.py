"""Options of the task anomaly. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AlarmOptions:
    """Options of predict and evaluate: what is done to the scores, and when there is an alarm."""

    standardise: int = 0
    """count a score in standard deviations of the scores of so many rows before it; 0: as it is"""
    silence: int = 0
    """a row is an alarm only if its score is above those of so many rows before it; 0: every row above the threshold"""
    false_alarms: float = 0.001
    """share of training rows above the threshold: of those held out; with --standardise of all"""

    def __post_init__(self) -> None:
        for name in ("standardise", "silence"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.false_alarms < 1:
            raise UsageError(f"false_alarms must lie between 0 and 1, got {self.false_alarms}")
