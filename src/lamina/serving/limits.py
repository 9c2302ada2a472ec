"""The options of a server. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.data.requests import RequestLimits
from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ServingOptions(RequestLimits):
    """How a run is served. Raises UsageError for values out of range.

    Example: ``ServingOptions(batch=16, queue=64)``
    """

    batch: int = 32
    """most rows, of several requests, that the model computes at once"""
    wait: float = 2.0
    """milliseconds that a request waits for others to be computed with"""
    queue: int = 256
    """most requests that are in progress; others are answered by 429"""
    timeout: float = 60.0
    """seconds that a request may take to arrive, and to be computed"""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value >= 0 if name == "wait" else value > 0) or value == float("inf"):
                raise UsageError(f"{name} must be greater than 0 and finite, got {value}")
