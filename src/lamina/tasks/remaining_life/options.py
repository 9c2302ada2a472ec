"""Options of the task remaining-life. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError
from lamina.tasks.forecasting.options import USUAL_LEVELS, check_levels


@dataclass(frozen=True, kw_only=True)
class LifeOptions:
    """Options of the objectives of remaining life."""

    cap: float = 125.0
    """life above which a unit counts as new: the target is the smaller of both; inf: none"""

    def __post_init__(self) -> None:
        if not self.cap > 0:
            raise UsageError(f"cap must be greater than 0, got {self.cap}")


@dataclass(frozen=True, kw_only=True)
class HuberLifeOptions(LifeOptions):
    """Options of the objective "huber"."""

    delta: float = 10.0
    """error, in rows, above which the loss is linear instead of squared"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.delta > 0:
            raise UsageError(f"delta must be greater than 0, got {self.delta}")


@dataclass(frozen=True, kw_only=True)
class LifeLevels:
    """Options of predict."""

    level: tuple[int, ...] = USUAL_LEVELS
    """levels of intervals in per cent, whole numbers"""

    def __post_init__(self) -> None:
        check_levels(self.level)


@dataclass(frozen=True, kw_only=True)
class LifeEvaluation:
    """Options of evaluate."""

    level: tuple[int, ...] = USUAL_LEVELS
    """levels of intervals in per cent whose coverage is measured"""

    def __post_init__(self) -> None:
        check_levels(self.level)
