"""TensorBoard: event files in the run's folder ``tensorboard``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """``tensorboard --logdir runs`` shows every run that was logged."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.writer = SummaryWriter(str(folder / "tensorboard"))
        text = "\n".join(f"    {key}: {value}" for key, value in config.items())
        self.writer.add_text("config", text)

    def epoch(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self, finished: bool) -> None:
        self.writer.close()
