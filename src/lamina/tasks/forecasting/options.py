"""Options of the task forecasting. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lamina.errors import UsageError

USUAL_LEVELS = (80, 90)


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """Options of evaluate: a rolling origin over the rows of a split."""

    stride: int = 1
    """steps from one origin to the next"""
    refit: int | None = None
    """train anew after so many steps, on all rows before; default: the run's weights throughout"""
    per: Literal["all", "step", "series", "channel"] = "all"
    """also the errors of each step of the forecast, of each series, or of each target"""
    level: tuple[int, ...] = USUAL_LEVELS
    """levels of intervals in per cent whose coverage is measured"""

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError(f"stride must be at least 1, got {self.stride}")
        if self.refit is not None and self.refit < 1:
            raise UsageError(f"refit must be at least 1, got {self.refit}")
        check_levels(self.level)


@dataclass(frozen=True, kw_only=True)
class ForecastOptions:
    """Options of predict."""

    needs_no_item: ClassVar[bool] = True
    """whether predict can do without an item"""
    known: Any = None
    """table, or data frame, of what is known ahead: the columns named by --known in training, at the times due"""
    level: tuple[int, ...] = USUAL_LEVELS
    """levels of intervals in per cent, whole numbers"""
    samples: int | None = None
    """number of sample paths that are drawn, of models of a distribution (default: 100 for their intervals); given, the
    paths themselves are among the results"""
    seed: int = field(default=0, metadata={"limit": None})
    """seed of the sample paths"""
    plot: str | None = None
    """picture (.png) of the history's end, the forecast and its intervals"""

    def __post_init__(self) -> None:
        check_levels(self.level)
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples must be at least 1, got {self.samples}")
        if self.plot is not None and not self.plot.casefold().endswith(".png"):
            raise UsageError(f"--plot {self.plot}: the name must end in .png")


def check_levels(levels: tuple[int, ...]) -> None:
    """Raise UsageError for a level that is no whole per cent between 1 and 99."""
    for level in levels:
        if not 1 <= level <= 99:
            raise UsageError(f"level must lie between 1 and 99 per cent, got {level}")


@dataclass(frozen=True, kw_only=True)
class HuberForecastOptions:
    """Options of the objective "huber"."""

    delta: float = 1.0
    """error, in standard deviations of the target, above which the loss is linear instead of squared"""

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise UsageError(f"delta must be greater than 0, got {self.delta}")


@dataclass(frozen=True, kw_only=True)
class PinballOptions:
    """Options of the objective "pinball"."""

    quantiles: int = 19
    """number of equally spaced quantiles: 19 are 0.05, 0.1, ... 0.95"""

    def __post_init__(self) -> None:
        if self.quantiles < 1 or self.quantiles % 2 == 0:
            raise UsageError(f"quantiles must be an odd number, so that the median is one, got {self.quantiles}")


@dataclass(frozen=True, kw_only=True)
class LikelihoodOptions:
    """Options of the objective "likelihood"."""

    distribution: Literal["student-t", "gaussian", "negative-binomial"] = "student-t"
    """of each value; negative-binomial is for counts"""
