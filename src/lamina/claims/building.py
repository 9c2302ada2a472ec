"""What claims about models share: building with weights of a seed, counting without any weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lamina.randomness import derive

M = TypeVar("M")


def drawn(build: Callable[[], M], seed: int, *purpose: object) -> M:
    """What ``build`` makes, its weights drawn for one purpose within one seed; the default generator is left as it
    was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        return build()


def weightless(build: Callable[[], M]) -> M:
    """What ``build`` makes, on the meta device: shapes without numbers."""
    with torch.device("meta"):
        return build()


def parameters(model: nn.Module) -> int:
    """Of all its tensors that are trained."""
    return sum(weight.numel() for weight in model.parameters())


def macs(model: nn.Module, *shape: int, products_only: bool = False) -> int:
    """Multiply-adds of convolutions, linear layers and matrix products for one input of ``shape`` (with its batch);
    ``products_only``: of products of two activations alone, which is where attention is. The model is weightless."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(shape, device="meta"))
    if not products_only:
        return int(counter.get_total_flops()) // 2
    by_operation = counter.get_flop_counts()["Global"]
    return int(sum(by_operation.get(operation, 0) for operation in (torch.ops.aten.bmm, torch.ops.aten.baddbmm))) // 2


def largest(x: Tensor) -> float:
    """max |x|."""
    return x.abs().max().item()
