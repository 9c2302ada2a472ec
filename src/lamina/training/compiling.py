"""torch.compile, with the settings under which its results are the plain model's, and the fast ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lamina.layers.recurrent import Recurrent


def compiled(function: Callable[..., Any], *, device: str, backend: str = "inductor", **how: Any) -> Callable[..., Any]:
    """``function`` compiled, for a ``device`` of that type ("cpu", "cuda").

    On a CPU the inductor of torch 2.13 loses the gradient of a convolution that a ReLU, non-overlapping max pooling and
    a linear layer follow (VGG's end, say), unless its layout optimisation is off.
    """
    if backend == "inductor" and device == "cpu":
        how["options"] = {"layout_optimization": False}
    return torch.compile(function, backend=backend, **how)


def leave_loops_out(module: nn.Module) -> None:
    """Have torch.compile leave the loops over time of recurrent networks as they are, with graphs around them.

    It can take them in, but then trains no faster than eager PyTorch (``make bench``: recurrent_compile).
    """
    for part in module.modules():
        if isinstance(part, Recurrent):
            part.in_graph = False
