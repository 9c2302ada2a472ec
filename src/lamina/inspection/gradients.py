"""How much gradient reaches each layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gradient_flow(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> list[tuple[str, float]]:
    """(parameter, norm of its gradient over norm of the parameter) for the weight matrices and kernels, in order of
    definition. The model's mode is left as it is, its gradients are cleared; a weight of norm zero gives 0."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1}
    with torch.enable_grad():
        gradients = torch.autograd.grad(loss(model), list(parameters.values()), allow_unused=True)
    flow = []
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        size = parameter.detach().norm().item()
        flow.append((name, 0.0 if gradient is None or size == 0 else gradient.norm().item() / size))
    return flow
