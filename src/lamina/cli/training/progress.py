"""Progress of training: a line for each epoch and, on a terminal, a progress bar."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from lamina.cli.output import clock, number
from lamina.cli.training.plan import memory
from lamina.tasks.facts import quality
from lamina.training.events import EpochDone, Event, StepDone, Stopped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from lamina.runs.training import Training

SMOOTH = 0.9
"""share of the mean before in the running mean of what the bar shows"""
MEASURED = 60.0
"""seconds after which time and memory are foretold"""
EVERY = 0.1
"""seconds between two readings of the loss, which may wait for the device"""


class Progress:
    """Prints events to stderr. A context manager: the bar is removed at its end."""

    def __init__(self, training: Training, *, quiet: bool = False) -> None:
        self.training, self.quiet = training, quiet
        unit, amount = training.config.recipe.length
        self.epochs = f"/{amount}" if unit == "epochs" else ""
        self.first_width = max(7, 2 * len(self.epochs) + 1)
        self.bar = _bar(self._console()) if not quiet and _has_bar() else None
        self.began = self.epoch_began = self.looked = time.monotonic()
        self.share_before: float | None = None
        self.samples_before = 0
        self.columns: list[tuple[str, str, int]] = []
        self.smooth: dict[str, tuple[float, float]] = {}
        self.foretold = False

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
            self.bar.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, event: Event) -> None:
        """Take in one event of ``fit``."""
        if self.quiet:
            return
        match event:
            case StepDone():
                self._step(event)
            case EpochDone():
                self._epoch(event)
            case Stopped(reason="patience"):
                patience = self.training.config.recipe.patience
                self._print(f"stopped early: no better validation metric for more than {patience} epochs")
            case _:
                pass

    def _step(self, event: StepDone) -> None:
        now = time.monotonic()
        share = self.training.engine.progress_after
        if self.share_before is None:
            self.share_before, self.samples_before, self.began, self.epoch_began = share, event.samples, now, now
        self._foretell(now, share)
        if self.bar is None or now - self.looked < EVERY:
            return
        self.looked = now
        logs = "  ".join(f"{name} {number(self._smoothed(name, float(value)))}" for name, value in event.logs.items())
        seconds = now - self.epoch_began
        rate = (event.samples - self.samples_before) / seconds if seconds > 0 else 0.0
        done = share - self.share_before
        left = clock((now - self.began) * (1 - share) / done) if done > 0 else "-"
        task = self.bar.task_ids[0]
        epoch = f"epoch {event.epoch + 1}{self.epochs}"
        self.bar.update(task, completed=share, epoch=epoch, logs=logs, rate=f"{rate:,.0f}/s", left=f"{left} left")
        self.bar.refresh()

    def _smoothed(self, name: str, value: float) -> float:
        """A running mean of what was read, in which no single batch counts much."""
        total, weight = self.smooth.get(name, (0.0, 0.0))
        if not math.isfinite(value):
            return value
        total, weight = SMOOTH * total + (1 - SMOOTH) * value, SMOOTH * weight + 1 - SMOOTH
        self.smooth[name] = total, weight
        return total / weight

    def _foretell(self, now: float, share: float) -> None:
        """Once, after a minute: the time that is left, and memory."""
        done = share - (self.share_before or 0.0)
        if self.foretold or now - self.began < MEASURED or done <= 0:
            return
        self.foretold = True
        left = clock((now - self.began) * (1 - share) / done)
        self._print(f"after the first minute: about {left} left, {memory(self.training)} of memory")

    def _epoch(self, event: EpochDone) -> None:
        now = time.monotonic()
        if not self.columns:
            groups = {"train": event.train, "validation": event.validation}
            self.columns = [
                (group, name, _width(_short(name), "" if place else group))
                for group, logs in groups.items()
                for place, name in enumerate(sorted(quality(logs), key=_loss_first))
            ]
            for line in (*_protocols(self.columns), *_header(self.columns, self.first_width)):
                self._print(line)
        logs = {"train": event.train, "validation": event.validation}
        cells = [f"{number(logs[group].get(name)):>{width}}" for group, name, width in self.columns]
        best = "  best" if event.best and event.validation else ""
        first = f"{f'{event.epoch}{self.epochs}':>{self.first_width}}"
        self._print(f"{first}{''.join(cells)}{clock(now - self.epoch_began):>8}{best}")
        self.epoch_began, self.samples_before = now, self.training.engine.images_seen

    def _print(self, line: str) -> None:
        if self.bar is not None:
            self.bar.console.print(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=sys.stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _has_bar() -> bool:
    """Whether stderr is a terminal that can move its cursor."""
    import os

    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _bar(console: Console) -> Bar:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    names = ("epoch", "logs", "rate", "left")
    text = {name: TextColumn("{task.fields[" + name + "]}", markup=False) for name in names}
    columns = (text["epoch"], BarColumn(bar_width=None), text["logs"], text["rate"], text["left"])
    bar = Bar(*columns, console=console, auto_refresh=False, transient=True, expand=True)
    bar.add_task("", total=1.0, epoch="starting", logs="", rate="", left="")
    return bar


def _header(columns: list[tuple[str, str, int]], first_width: int) -> tuple[str, str]:
    """Two header lines: the groups of the columns, and their names."""
    groups, names, last = " " * first_width, f"{'epoch':>{first_width}}", ""
    for group, name, width in columns:
        groups += f"{group if group != last else '':>{width}}"
        names += f"{_short(name):>{width}}"
        last = group
    return groups.rstrip(), f"{names}{'time':>8}"


def _short(name: str) -> str:
    """A metric's name without what it is measured with: "FID" of "FID[lenet5@1a2b, n=1000]"."""
    return name.partition("[")[0]


def _protocols(columns: list[tuple[str, str, int]]) -> list[str]:
    """What metrics are measured with whose columns have a short name."""
    found: dict[str, list[str]] = {}
    for _, name, _ in columns:
        short, _, protocol = name.partition("[")
        if protocol:
            found.setdefault(protocol.removesuffix("]"), []).append(short)
    return [f"{', '.join(names)}: {protocol}" for protocol, names in found.items()]


def _loss_first(name: str) -> bool:
    return name != "loss"


def _width(name: str, group: str) -> int:
    """The width of a column; the first of a group also fits the group's name."""
    return max(len(name), len(group), 8) + 2
