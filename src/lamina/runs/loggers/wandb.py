"""Weights & Biases: a run of the project that ``WANDB_PROJECT`` names; ``WANDB_MODE=offline`` keeps it on the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb


class WandB:
    """A run called as ours is, its files in our run's folder; resumed where ours is."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        project = os.environ.get("WANDB_PROJECT", "lamina")
        self.run = wandb.init(project=project, name=folder.name, dir=str(folder), config=dict(config), resume="allow")

    def epoch(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)
