"""The filters of the first convolution."""

from __future__ import annotations

from torch import Tensor, nn


def first_filters(model: nn.Module) -> Tensor | None:
    """A copy of the weights (O, I, H, W) of the first two-dimensional convolution; None if the model has none."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().clone()
    return None
