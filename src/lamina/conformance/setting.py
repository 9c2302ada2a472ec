"""What the checks share: a model with nothing special about its weights, inputs for it, one measure of difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lamina import registry
from lamina.cards import Variant


class NotApplicableError(Exception):
    """The check has nothing to say of this architecture, or needs a library that is not there; the message says why."""


def require(condition: bool | Tensor, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds; unlike assert, under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)


def row_of(model: str | Variant) -> Variant:
    """The row that a check was asked about. Raises UsageError for an unknown name."""
    return registry.variant(model) if isinstance(model, str) else model


def build(
    row: Variant, options: Mapping[str, Any] | None = None, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> nn.Module:
    """The variant, small where it has a small form, in evaluation mode, in float64 so that a difference is a fault and
    not rounding.

    Weights get noise and running statistics random values: a branch whose last scale starts at zero, or a normalisation
    that starts as the identity, would hide faults. The default generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.build(row, registry.configure(row, {**row.small, **(options or {})}))
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.02 * torch.randn_like(weight))
            for name, buffer in model.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(0.0, 0.5)
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
    return model.to(dtype).eval()


def shape_of(row: Variant) -> tuple[int, ...]:
    """The shape of one input, without the batch: the card's, or that of the variant's small form."""
    if not row.small.keys() & {"image_size", "in_channels"}:
        return row.card.input
    config = registry.configure(row, row.small)
    return (config.in_channels, config.image_size, config.image_size)


def inputs(
    row: Variant, batch: int, *, shape: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Normal inputs (batch, *shape), by default of the shape that ``build`` takes; the same at every call."""
    size = (batch, *(shape_of(row) if shape is None else shape))
    return torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def run(model: nn.Module, x: Tensor) -> Tensor:
    """The first tensor that the model gives, without gradients."""
    with torch.no_grad():
        return first(model(x))


def first(output: Any) -> Tensor:
    """The first tensor of an output: the logits of ``(logits, state)``."""
    tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    require(bool(tensors), f"forward gives no tensor but {type(output).__name__}")
    return tensors[0]


def sloped(row: Variant, model: nn.Module, x: Tensor) -> Tensor:
    """What training takes gradients of: forward's first tensor, or that of the method which the card names."""
    return first(model(x) if row.card.sloped == "forward" else getattr(model, row.card.sloped)(x))


def gradients(model: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """The gradient of every trainable parameter, for a loss in which each output has a weight of its own."""
    scale = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    loss = (output.double() * scale).sum()
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    named = {}
    for name, gradient in zip(weights, found, strict=True):
        if gradient is None:
            raise AssertionError(f"no gradient reaches {name}")
        named[name] = gradient
    return named


def expect_close(got: Tensor, wanted: Tensor, bound: float, what: str) -> None:
    """Raise AssertionError unless max|got - wanted| <= bound * max|wanted|."""
    require(got.shape == wanted.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(wanted.shape)}")
    difference, scale = (got.double() - wanted.double()).abs().max().item(), wanted.double().abs().max().item()
    message = f"{what}: differ by {difference:.1e} where the largest is {scale:.1e}; allowed is {bound:.0e} of that"
    require(difference <= bound * scale, message)


def same(got: dict[str, Tensor], wanted: dict[str, Tensor], bound: float, what: str) -> None:
    """``expect_close`` for each gradient by name."""
    for name, gradient in wanted.items():
        expect_close(got[name], gradient, bound, f"gradients of {name} {what}")
