"""What ``fit`` reports, as frozen events: progress bars, logs, pruning and tests are consumers of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, slots=True)
class StepDone:
    """One update is done."""

    step: int
    epoch: int
    """epochs reported before it"""
    samples: int
    """samples seen since training began, over all processes"""
    logs: dict[str, Tensor]
    """detached scalars, averaged over all processes; reading one may wait for the device"""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch is done, and evaluated where there is something to evaluate on."""

    epoch: int
    """epochs reported, 1 for the first"""
    step: int
    train: dict[str, float]
    """each logged scalar, averaged over the updates that reported it"""
    validation: dict[str, float]
    lr: float
    """learning rate of its last update"""
    best: bool
    """whether these weights are the best so far (always true where nothing chooses)"""
    improved: bool = True
    """whether the watched metric is better than ever; of equal ones the lower loss makes the best"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint is on the disk."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training is over."""

    step: int
    reason: Literal["finished", "patience"]


Event = StepDone | EpochDone | Saved | Stopped
