"""Trials of a function in place of trainings: any number, or several, for a point."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.errors import LaminaError
from lamina.search.evaluation import Outcome, Reporter
from lamina.search.trials import Trial


@dataclass(frozen=True)
class Function:
    """An evaluation by a function of the point. An error of the function is a failed trial."""

    call: Callable[[Mapping[str, Any]], float | Sequence[float]]

    def __call__(self, trial: Trial, reporter: Reporter, run: str) -> Outcome:
        began = time.monotonic()
        try:
            found = self.call(dict(trial.point))
            values = tuple(map(float, found)) if isinstance(found, Sequence) else (float(found),)
        except LaminaError:
            raise
        except Exception as error:  # whatever the function raises
            return Outcome("failed", error=f"{type(error).__name__}: {error}", seconds=_since(began))
        if not all(map(math.isfinite, values)):
            return Outcome("failed", error="a value that is not finite", seconds=_since(began))
        return Outcome("complete", values, seconds=_since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
