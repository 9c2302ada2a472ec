"""An opened file in the place of its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class EngineModule(nn.Module):
    """A module that calls an engine: for tasks and metrics, which ask a model for its device and its mode."""

    def __init__(self, engine: Callable[..., Any]) -> None:
        super().__init__()
        self.engine = engine
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)  # on the CPU, in float32

    def forward(self, *given: Tensor, **named: Tensor) -> Any:
        return self.engine(*given, **named)
