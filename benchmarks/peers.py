"""Make torchvision importable beside a build of torch that it was not compiled for.

Its package registers operators on import and fails where its compiled library does not load; declaring the two that are
missing is enough for everything the benchmarks use (models, in plain Python).
"""

from __future__ import annotations

import torch

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def declare_missing_operators() -> None:
    """Call before the first import of torchvision, timm, torchmetrics or Lightning."""
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            _LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
