"""Waiting for a condition instead of sleeping, with limits that a busy machine does not reach."""

from __future__ import annotations

import time
from collections.abc import Callable

CHILD_SECONDS = 600  # limit of a child process: below pytest's own, and some thirty times what the longest child takes


def until(condition: Callable[[], object], what: str, seconds: float = CHILD_SECONDS) -> None:
    """Return as soon as ``condition()`` is true; after ``seconds`` the test fails: "waited 600 s for" ``what``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.01)
