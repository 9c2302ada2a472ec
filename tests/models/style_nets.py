"""Small nets with styles, for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lamina

TINY: dict[str, Any] = {"image_size": 16, "base": 24, "widest": 6, "latent": 5, "style": 4, "mapping_layers": 2}
PROGAN: dict[str, Any] = {"image_size": 16, "base": 24, "widest": 6, "latent": 5}
CLOSE = {"rtol": 0, "atol": 1e-10}


def net(name: str, **options: Any) -> Any:
    """In float64, with weights that are not those of a new net: noise weights and biases are 0 there."""
    torch.manual_seed(0)
    model = lamina.create_model(name, **{**(PROGAN if name == "progan" else TINY), **options}).double().eval()
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return model


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
