"""torch.compile, with the one setting under which its results are the plain model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def compiled(function: Callable[..., Any], *, device: str, backend: str = "inductor", **how: Any) -> Callable[..., Any]:
    """``function`` compiled, for a ``device`` of that type ("cpu", "cuda").

    On a CPU the inductor of torch 2.13 loses the gradient of a convolution that a ReLU, non-overlapping max pooling and
    a linear layer follow (VGG's end, say), unless its layout optimisation is off.
    """
    if backend == "inductor" and device == "cpu":
        how["options"] = {"layout_optimization": False}
    return torch.compile(function, backend=backend, **how)
