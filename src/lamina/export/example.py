"""An input that a model of the registry takes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Variant
from lamina.errors import UsageError


def input_shape(row: Variant, config: Any) -> tuple[int, ...]:
    """The shape of one input, without the batch: the card's, with the channels, size or features of ``config``."""
    shape = row.card.input
    if len(shape) == 1:
        return (getattr(config, "in_features", shape[0]),)
    size = getattr(config, "image_size", None)
    return (getattr(config, "in_channels", shape[0]), *(shape[1:] if size is None else (size, size)))


def example_input(model: nn.Module) -> Tensor:
    """One random input for a model of a variant, of the shape that its card and its config state.

    Raises UsageError for a module that is no variant's.
    """
    rows: Mapping[str, Variant] = getattr(sys.modules[type(model).__module__], "VARIANTS", {})
    config = getattr(model, "config", None)
    fitting = [row for row in rows.values() if type(row.config) is type(config) and row.build is type(model)]
    if config is None or not fitting:
        raise UsageError(f"what {type(model).__name__} takes is not known: give an example, one batch of its input")

    def alike(row: Variant) -> int:
        return sum(getattr(row.config, f.name) == getattr(config, f.name) for f in dataclasses.fields(config))

    shape = input_shape(max(fitting, key=alike), config)
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
