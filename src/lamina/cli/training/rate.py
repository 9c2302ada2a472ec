"""``lamina train --lr find``: a range test of the learning rate, and its plot."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from lamina.cli.output import note
from lamina.errors import UsageError

if TYPE_CHECKING:
    from lamina.training.rates import RangeTest

STEPS = 100
PLOT = "lr-find.png"
PLAIN = {"schedule": "constant", "warmup": 0.0, "ema": 0.0, "epochs": None, "images": None, "steps": STEPS}
"""the recipe of a range test, over the user's"""


def find_rate(args: Namespace, requested: Mapping[str, Any], directory: str) -> RangeTest:
    """Find the rate on a model of its own. Raises UsageError for a run that is resumed: its rate is fixed."""
    from lamina.runs.training import prepare
    from lamina.training.rates import range_test

    if args.resume:
        raise UsageError("--lr find is for a new run: one that is resumed keeps its rate")
    test = prepare(args.variant, {**requested, **PLAIN}, config=args.config, directory=directory, dry=True)
    print(f"range test of the learning rate, {STEPS} steps ...", file=sys.stderr)
    found = range_test(test.engine, test.streams)
    note(f"learning rate {found.rate:g}: of {len(found.rates)} rates from {found.rates[0]:g} to {found.rates[-1]:.2g}")
    return found


def write_plot(found: RangeTest, folder: Path) -> None:
    """The loss at each rate, as a picture in the run."""
    from lamina.files import write_whole
    from lamina.report.svg import draw_png

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(found.rates, found.losses)
        axes.axvline(found.rate, linestyle=":")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")

    data = draw_png(paint, width=520, height=320)
    write_whole(folder / PLOT, lambda file: file.write(data))
    note(f"range test: {folder / PLOT}")
