"""Claims made up for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.claims.running import ClaimResult, run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVIL = '"><script>alert(1)</script> | $x_1$'


def example(value: Callable[[int], float], **changes: Any) -> Claim[Settings]:
    """A claim whose one number, at most 1, is ``value(seed)``."""

    def measure(settings: Settings, seed: int) -> Measurement:
        return Measurement(numbers={"error": value(seed)}, arrays={"y": np.arange(3.0)})

    def figure(sheet: Figure, settings: Settings, measured: Sequence[Measurement]) -> None:
        sheet.subplots().plot(measured[0].arrays["y"])

    claim = Claim(
        name="example",
        sentence="An example.",
        source="Nobody, 1900",
        settings=Settings(),
        measure=measure,
        bars=(Bar(number="error", at_most=1.0, why="so"),),
        universal=False,
        figure=figure,
        caption="A line",
        reading="The error is {error}, or {error:5}, over seeds {setting.seeds}.",
        names={"error": "the error"},
    )
    return replace(claim, **changes)


def result_of(*values: float, **changes: Any) -> ClaimResult:
    """Of an example with one value a seed."""
    return run(example(lambda seed: values[seed], settings=Settings(seeds=tuple(range(len(values)))), **changes))
