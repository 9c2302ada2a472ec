"""The kernels that look at the pixels themselves."""

from __future__ import annotations

from torch import Tensor, nn


def first_filters(model: nn.Module) -> Tensor | None:
    """Weights of the first two-dimensional convolution (O, I, H, W), a copy; None where the model has none."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().clone()
    return None
