"""The input of a model of the registry: its kind, its shape, an example."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Variant
from lamina.data.protocols import Input, Signature
from lamina.errors import UsageError
from lamina.export.facts import TOKENS


def signature_of(row: Variant, config: Any) -> Signature:
    """What a variant with this config is called with."""
    if row.example is None:
        shape = input_shape(row, config)
        return (Input("image" if len(shape) == 3 else "features", "float32", shape),)
    names, context = row.example(config, 1).keys(), getattr(config, "context", None)
    inputs: list[Input] = []
    for tokens, lengths, time, option in TOKENS:
        if tokens == "tokens" or tokens in names:
            # a config where None means "as the target's" has a property with the actual number
            size = getattr(config, option.removesuffix("_size"), None) or getattr(config, option)
            inputs.append(Input(tokens, "int64", (time,), below=size, longest=context))
            inputs.append(Input(lengths, "int64", (), lengths_of=time))
    return tuple(inputs)


def signature_of_player(row: Variant, name: str, player: nn.Module, config: Any) -> Signature:
    """What a player of a variant with this config is called with: what its example holds, else one tensor of numbers;
    a label beside it, below its ``classes``, where it has any."""
    one, classes = row.player(name), getattr(player, "classes", 0)
    label = Input("label", "int64", (), below=classes)
    if one.example is None:
        return (*signature_of(one, config), *([label] if classes else ()))
    inputs = []
    for key, value in one.example(config, 1).items():
        if value.is_floating_point():
            inputs.append(Input(key.rpartition("_")[0] or key, "float32", tuple(value.shape[1:])))
        elif key.startswith("label") and classes:
            inputs.append(label)
        else:
            raise UsageError(f"the input '{key}' of {one.card.title} is neither a tensor of numbers nor a label")
    return tuple(inputs)


def input_shape(row: Variant, config: Any) -> tuple[int, ...]:
    """The shape of one input without the batch: that of the card, with the channels, size or features of ``config``."""
    shape = row.input_shape
    if len(shape) == 1:
        return (getattr(config, "in_features", shape[0]),)
    size = getattr(config, "image_size", None)
    return (getattr(config, "in_channels", shape[0]), *(shape[1:] if size is None else (size, size)))


def example_input(model: nn.Module) -> Tensor:
    """One random input for a model of the registry, of the shape that its card and its config give.

    Raises UsageError for a module that is not a variant's, and for one that takes more than one tensor.
    """
    rows: Mapping[str, Variant] = getattr(sys.modules[type(model).__module__], "VARIANTS", {})
    config = getattr(model, "config", None)
    fitting = [row for row in rows.values() if type(row.config) is type(config) and row.build is type(model)]
    if config is None or not fitting:
        raise UsageError(f"the input of {type(model).__name__} is not known: pass an example, one batch of its input")

    def equal_options(row: Variant) -> int:
        return sum(getattr(row.config, f.name) == getattr(config, f.name) for f in dataclasses.fields(config))

    row = max(fitting, key=equal_options)
    if row.example is not None:
        given = row.example(config, 1)
        if len(given) > 1:
            raise UsageError(
                f"{type(model).__name__} takes {' and '.join(given)}, expected a model with a single input tensor"
            )
        tokens: Tensor = next(iter(given.values()))
        return tokens
    shape = input_shape(row, config)
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
