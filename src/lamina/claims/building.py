"""Helpers for claims about models: seeded initialisation, counts on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lamina.randomness import derive

M = TypeVar("M")


def drawn(build: Callable[[], M], seed: int, *purpose: object) -> M:
    """The result of ``build()`` under a default generator seeded by (seed, purpose), whose state is restored
    afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        return build()


def weightless(build: Callable[[], M]) -> M:
    """The result of ``build()`` on torch's meta device: shapes without values."""
    with torch.device("meta"):
        return build()


def parameters(model: nn.Module) -> int:
    """The number of parameters of a model."""
    return sum(weight.numel() for weight in model.parameters())


def macs(model: nn.Module, *shape: int, products_only: bool = False) -> int:
    """Multiply-adds of convolutions, linear layers and matrix products for an input of ``shape``, batch included.

    ``products_only`` counts batched products of two activations only, as in attention. The model is on the meta device.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(shape, device="meta"))
    if not products_only:
        return int(counter.get_total_flops()) // 2
    by_operation = counter.get_flop_counts()["Global"]
    return int(sum(by_operation.get(operation, 0) for operation in (torch.ops.aten.bmm, torch.ops.aten.baddbmm))) // 2


def largest(x: Tensor) -> float:
    """max |x|."""
    return x.abs().max().item()
