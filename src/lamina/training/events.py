"""The events that ``fit`` yields; progress bars, logs, pruning and tests consume them.

Example: ``losses = [event.train["loss"] for event in fit(engine, streams) if isinstance(event, EpochDone)]``
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, slots=True)
class StepDone:
    """One update (optimiser step) is done."""

    step: int
    epoch: int
    """epochs reported before this step"""
    samples: int
    """samples seen since training began, over all processes"""
    logs: dict[str, Tensor]
    """detached scalars, averaged over all processes; reading one may wait for the device"""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch is done, and evaluated if there is validation data."""

    epoch: int
    """number of the epoch, from 1"""
    step: int
    train: dict[str, float]
    """each logged scalar, averaged over the updates that reported it"""
    validation: dict[str, float]
    lr: float
    """learning rate of the epoch's last update"""
    best: bool
    """whether these weights are the best so far (always true without a monitored metric)"""
    improved: bool = True
    """whether the monitored metric improved; ``best`` also counts an equal metric with a lower loss"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint has been written."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training is over."""

    step: int
    reason: Literal["finished", "patience"]


Event = StepDone | EpochDone | Saved | Stopped
