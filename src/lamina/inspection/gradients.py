"""Gradient flow: how much gradient reaches each layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gradient_flow(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> list[tuple[str, float]]:
    """(parameter name, norm of its gradient / norm of the parameter) for weight matrices and kernels, in definition
    order.

    ``loss`` maps the model to a scalar. The model's mode and its ``.grad`` are left untouched. A weight whose norm is
    0, or that the loss does not depend on, gives 0.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1}
    with torch.enable_grad():
        gradients = torch.autograd.grad(loss(model), list(parameters.values()), allow_unused=True)
    flow = []
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        size = parameter.detach().norm().item()
        flow.append((name, 0.0 if gradient is None or size == 0 else gradient.norm().item() / size))
    return flow
