"""Shared by the checks: models with generic weights, inputs for them, and one measure of difference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.cards import Variant
from lamina.errors import unknown
from lamina.torch_internals import tree_leaves

Inputs = Tensor | dict[str, Tensor]
"""Inputs of forward: one tensor, or keyword arguments."""


class NotApplicableError(Exception):
    """The check does not apply to this architecture, or needs a library that is not installed; the message says why."""


def require(condition: bool | Tensor, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds; unlike assert, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def variant_of(model: str | Variant) -> Variant:
    """The variant that a check runs on; "dcgan/generator" is a player of one. Raises UsageError for an unknown name."""
    if not isinstance(model, str):
        return model
    name, _, player = model.partition("/")
    row = registry.variant(name)
    if not player:
        return row
    if player not in row.players:
        raise unknown(f"player of {name}", player, row.players)
    return row.player(player)


def build(
    row: Variant, options: Mapping[str, Any] | None = None, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> nn.Module:
    """The variant in evaluation mode, in its small form if it has one, and in float64, so that differences are faults
    and not rounding.

    Noise is added to the weights and running statistics are randomised: a branch whose last scale starts at zero, or a
    normalisation that is initially the identity, would hide faults. The state of the default generator is preserved.
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


def input_shape(row: Variant) -> tuple[int, ...]:
    """The shape of one input, without the batch: that of the card, or of the variant's small form."""
    if row.small and hasattr(row.config, "horizon"):  # a window of series
        config = registry.configure(row, row.small)
        return (config.context, config.channels)
    if len(row.input_shape) == 1 and "in_features" in row.small:
        return (registry.configure(row, row.small).in_features,)
    if len(row.input_shape) != 3 or not row.small.keys() & {"image_size", "in_channels"}:
        return row.input_shape
    config = registry.configure(row, row.small)
    return (config.in_channels, config.image_size, config.image_size)


def inputs(
    row: Variant, batch: int, *, shape: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float64
) -> Inputs:
    """Inputs for the model returned by ``build``, the same at every call.

    The variant's own example if it has one, else normal numbers (batch, *shape), by default of the card's shape.
    ``dtype`` is that of the floating-point inputs.
    """
    if row.example is not None:
        given = row.example(registry.configure(row, row.small), batch)
        return {name: x.to(dtype) if x.is_floating_point() else x for name, x in given.items()}
    return random_inputs(row, batch, shape=shape, dtype=dtype)


def random_inputs(
    row: Variant, batch: int, *, shape: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """``inputs`` for checks of images and tables. Raises NotApplicableError if the variant has its own example."""
    if row.example is not None:
        raise NotApplicableError("inputs are not one tensor of numbers")
    size = (batch, *(input_shape(row) if shape is None else shape))
    return torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def map_inputs(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Apply ``change`` to every input tensor: ``map_inputs(x, lambda t: t[1:2])`` is the second sample."""
    return {name: change(part) for name, part in x.items()} if isinstance(x, dict) else change(x)


def is_sequence(part: Tensor) -> bool:
    """Whether an input holds tokens (B, T): its second dimension is time."""
    return part.ndim == 2 and not part.is_floating_point()


def with_token_length(x: Inputs, length: int) -> Inputs:
    """The inputs with tokens cut to ``length``, or extended by their own reversal; other inputs unchanged."""
    return map_inputs(x, lambda part: torch.cat([part, part.flip(1)], 1)[:, :length] if is_sequence(part) else part)


def with_lengths(net: nn.Module, x: Inputs) -> Inputs:
    """Add unequal lengths of the rows, the first at full length, for every sequence whose lengths forward accepts."""
    if not isinstance(x, dict):
        return x
    taken, found = inspect.signature(net.forward).parameters, dict[str, Tensor]()
    for name, part in x.items():
        option = lengths_name(name)
        if is_sequence(part) and option in taken:
            rows, time = part.shape
            found[option] = time - torch.arange(rows) * 2 % time
    return x | found


def lengths_name(name: str) -> str:
    """The argument of forward that holds the lengths of these tokens."""
    return "lengths" if name == "tokens_BT" else f"{name}_lengths"


def other_token_lengths(row: Variant, x: Inputs) -> list[int]:
    """Token lengths other than that of ``x`` that the model should accept, one of them longer if its context allows;
    none if it takes no tokens."""
    config = registry.configure(row, row.small)
    times = [part.shape[1] for part in x.values() if is_sequence(part)] if isinstance(x, dict) else []
    if not times:
        return []
    return [max(times) - 3, 2, min(max(times) + 5, getattr(config, "context", None) or max(times) + 5)]


def call_model(function: Callable[..., Any], x: Inputs) -> Any:
    """Call ``function``, a model or one of its methods, with these inputs."""
    return function(**x) if isinstance(x, dict) else function(x)


def run(model: Callable[..., Any], x: Inputs) -> Tensor:
    """The first output tensor of the model, without gradients."""
    with torch.no_grad():
        return first_tensor(call_model(model, x))


def first_tensor(output: Any) -> Tensor:
    """The first tensor of an output: the logits of ``(logits, state)``."""
    tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    require(bool(tensors), f"forward returns no tensor but {type(output).__name__}")
    return tensors[0]


def trained_tensor(output: Any) -> Tensor:
    """The part of an output that training differentiates: the logits of ``(logits, state)``; of a NamedTuple, as
    autoencoders with a distribution return it, all tensors, (B, everything)."""
    if not hasattr(output, "_fields"):
        return first_tensor(output)
    return torch.cat([part.flatten(1) for part in tree_leaves(output) if isinstance(part, Tensor)], 1)


def differentiable_output(row: Variant, model: nn.Module, x: Inputs) -> Tensor:
    """What training differentiates of the card's ``differentiable_method``; see ``trained_tensor``."""
    name = row.card.differentiable_method
    return trained_tensor(call_model(model if name == "forward" else getattr(model, name), x))


def gradients(model: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """The gradient of every trainable parameter, for a randomly weighted sum of the outputs."""
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


def expect_close(got: Tensor, expected: Tensor, bound: float, what: str) -> None:
    """Raise AssertionError unless max|got - expected| <= bound * max|expected|."""
    require(got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}")
    difference, scale = (got.double() - expected.double()).abs().max().item(), expected.double().abs().max().item()
    message = f"{what}: differ by {difference:.1e} where the largest is {scale:.1e}; allowed is {bound:.0e} of that"
    require(difference <= bound * scale, message)


def expect_close_gradients(got: dict[str, Tensor], expected: dict[str, Tensor], bound: float, what: str) -> None:
    """``expect_close`` for the gradient of each parameter. One that is 0 but for rounding, as that of a bias before a
    normalisation, is compared with 0."""
    largest = max((float(gradient.abs().max()) for gradient in expected.values() if gradient.numel()), default=0)
    rounding = max((torch.finfo(gradient.dtype).eps for gradient in expected.values()), default=0)
    nothing = max(1e-9, 10 * rounding) * largest
    for name, gradient in expected.items():
        if gradient.numel() and float(gradient.abs().max()) < nothing:
            require(float(got[name].abs().max()) < nothing, f"gradients of {name} {what}: expected 0")
            continue
        expect_close(got[name], gradient, bound, f"gradients of {name} {what}")
