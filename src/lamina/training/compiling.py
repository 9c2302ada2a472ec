"""torch.compile with the settings that reproduce the eager model's results, fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lamina.layers.recurrent import Recurrent


def compiled(
    function: Callable[..., Any], *, device: str, backend: str = "inductor", **kwargs: Any
) -> Callable[..., Any]:
    """``function`` compiled for a device type ("cpu", "cuda"); ``kwargs`` go to ``torch.compile``.

    On a CPU the inductor of torch 2.13 loses the gradient of a convolution followed by a ReLU, non-overlapping max
    pooling and a linear layer (the end of VGG, for example) unless its layout optimisation is off.

    Example: ``forward = compiled(model.forward, device="cpu")``
    """
    if backend == "inductor" and device == "cpu":
        kwargs["options"] = {"layout_optimization": False}
    return torch.compile(function, backend=backend, **kwargs)


def leave_loops_out(module: nn.Module) -> None:
    """Keep the loops over time of recurrent networks out of the compiled graph.

    torch.compile can include them, but training is then no faster than in eager PyTorch (``make bench``:
    recurrent_compile).
    """
    for part in module.modules():
        if isinstance(part, Recurrent):
            part.in_graph = False
