"""Training that signals stop cleanly."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from lamina.training.events import Event


def stoppable(events: Generator[Event]) -> Iterator[Event]:
    """The same events; SIGINT and SIGTERM stop after the current step, save, and raise KeyboardInterrupt.

        for event in stoppable(training.events()):
            print(event)

    Outside the main thread signals cannot be caught, and the events pass unchanged.
    """
    with closing(events), _caught_signals() as caught:
        for event in events:
            yield event
            if caught:
                events.close()
                raise KeyboardInterrupt(signal.Signals(caught[0]).name)


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    caught: list[int] = []
    try:
        before = {s: signal.signal(s, lambda number, _: caught.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
