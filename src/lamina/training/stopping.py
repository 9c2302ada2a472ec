"""Training that signals stop cleanly."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from lamina.training.events import Event
from lamina.training.processes import current

STOPPING = (signal.SIGINT, signal.SIGTERM)
_caught: list[int] = []
"""the signals that this process has caught"""
_common: list[int] = []
"""those that any of several processes has caught, once all of them know"""


def stoppable(events: Generator[Event]) -> Iterator[Event]:
    """The same events; SIGINT and SIGTERM stop after the current step, save, and raise KeyboardInterrupt.

        for event in stoppable(training.events()):
            print(event)

    Several processes stop after the same step, whichever of them caught the signal. Outside the main thread signals
    cannot be caught, and the events pass unchanged.
    """
    with closing(events), _caught_signals():
        for event in events:
            yield event
            stop = _caught if current().world == 1 else _common
            if stop:
                events.close()
                raise KeyboardInterrupt(signal.Signals(stop[0]).name)


def asked_to_stop() -> list[float]:
    """For each signal of ``STOPPING``, whether this process has caught it."""
    return [float(number in _caught) for number in STOPPING]


def stop_together(asked: list[float]) -> bool:
    """Stop after this step if any process has caught a signal: ``asked`` are the sums over ``asked_to_stop``."""
    _common.extend(number for number, count in zip(STOPPING, asked, strict=True) if count)
    return bool(_common)


@contextmanager
def _caught_signals() -> Iterator[None]:
    _caught.clear()
    _common.clear()
    try:
        before = {s: signal.signal(s, lambda number, _: _caught.append(number)) for s in STOPPING}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        _caught.clear()
        _common.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
