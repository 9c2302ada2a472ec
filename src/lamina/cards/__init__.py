"""Cards: the facts of a variant as plain data, readable without torch.

The model files hold the cards beside the code they describe; ``index.json`` is their generated copy (``make index``),
so that ``lamina models`` and a misspelt name answer without importing torch. A test keeps the two equal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

Count = int | Mapping[str, int] | None
"""A number, one number per player (``{"generator": ..., "discriminator": ...}``), or None where undefined."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One published result of a variant."""

    dataset: str
    metric: str
    value: float
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The facts of one variant. Every number of it is asserted against the built model."""

    title: str
    summary: str
    paper: str
    authors: str
    year: int
    arxiv: str | None = None
    inputs: tuple[str, ...]
    """Kinds of data it takes: "image", "table", "text", "series"."""
    tasks: tuple[str, ...]
    """What it can be trained for: "classification", "multilabel", "regression", ..."""
    classes: int | None = None
    """The one number of classes it can tell apart, where its definition fixes it."""
    objective: str | None = None
    """How it is trained where the paper's loss is not the usual one of its task: "perceptron-rule", "rbf-map"."""
    differentiable_method: str = "forward"
    """The method whose output has a gradient: another one where ``forward`` ends in a step function."""
    sloped: InitVar[str | None] = None
    """Deprecated alias of ``differentiable_method``, for construction only."""
    input: tuple[int, ...]
    """Shape of one input, without the batch, at which ``macs`` holds."""
    parameters: Count
    """Trainable parameters of the variant as named, without overrides."""
    macs: Count
    """Multiply-adds of convolutions, linear layers and matrix products for one input."""
    reported: tuple[Reported, ...] = ()
    reference: str
    """The implementation our outputs are compared with."""
    differences: tuple[str, ...] = ()
    """Where this variant departs from the paper."""
    licence: str = "Apache-2.0"
    recipe: str
    """Name of the default training recipe."""
    aliases: tuple[str, ...] = ()
    """Other spellings, those of torchvision and timm among them."""

    def __post_init__(self, sloped: str | None) -> None:
        if sloped is not None:
            message = "Card(sloped=...) is deprecated: use differentiable_method"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "differentiable_method", sloped)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A named row of an architecture: what builds it, with which config, and its card."""

    build: Callable[[Any], Any]
    """The module class; called with the config alone."""
    config: Any
    """A frozen dataclass: the constructor's argument."""
    card: Card = field(repr=False)
    small: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Options, smaller images among them, under which the conformance suite calculates with a variant that is too large
    for it as it stands. The card's numbers are always checked without them."""
    example: Callable[[Any, int], dict[str, Any]] | None = field(default=None, repr=False)
    """For models that take other things than one tensor of numbers: the keyword arguments of ``forward`` for a config
    and a number of samples, the same at every call."""
