"""Cards: the facts of a variant as plain data, readable without torch.

    >>> card = lamina.card("resnet50")
    >>> card.title, card.year, card.parameters, card.inputs
    ('ResNet-50', 2016, 25557032, ('image',))

Cards stand in the model files, beside the code they describe; ``index.json`` is their generated copy (``make index``),
so that ``lamina models`` and the error for a misspelt name need no torch. A test keeps the two equal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

Count = int | Mapping[str, int] | None
"""A number, one number per player (``{"generator": ..., "discriminator": ...}``), or None if undefined."""


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
    """The facts of one variant. The conformance suite checks its numbers against the built model."""

    title: str
    summary: str
    paper: str
    authors: str
    year: int
    arxiv: str | None = None
    inputs: tuple[str, ...]
    """Kinds of input data: "image", "table", "text", "series"."""
    tasks: tuple[str, ...]
    """Tasks it can be trained for: "classification", "multilabel", "regression", ..."""
    classes: int | None = None
    """The number of classes, if the architecture fixes it."""
    objective: str | None = None
    """The objective, if the paper's is not the usual loss of the task: "perceptron-rule", "rbf-map"."""
    differentiable_method: str = "forward"
    """The method whose output has a gradient, which is not ``forward`` if that ends in a step function."""
    sloped: InitVar[str | None] = None
    """Deprecated alias of ``differentiable_method``, for construction only."""
    input: tuple[int, ...] | Mapping[str, tuple[int, ...]]
    """Shape of one input, without the batch, at which ``macs`` holds; of several players one each."""
    parameters: Count
    """Trainable parameters of the variant as named, without overrides."""
    macs: Count
    """Multiply-adds of the convolutions, linear layers and matrix products for one input."""
    reported: tuple[Reported, ...] = ()
    reference: str
    """The implementation that outputs are compared with."""
    differences: tuple[str, ...] = ()
    """How this variant differs from the paper."""
    licence: str = "Apache-2.0"
    recipe: str
    """Name of the default training recipe."""
    aliases: tuple[str, ...] = ()
    """Other names, among them those of torchvision and timm."""

    def __post_init__(self, sloped: str | None) -> None:
        if sloped is not None:
            message = "Card(sloped=...) is deprecated: use differentiable_method"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "differentiable_method", sloped)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A named variant of an architecture: the class that builds it, the config, and the card.

    A package adds architectures through the entry point group ``lamina.models``, whose value is a module with a table

        VARIANTS = {"my-net": Variant(build=MyNet, config=MyNetConfig(), card=Card(title="My net", ...))}
    """

    build: Callable[[Any], Any]
    """The module class; called with the config alone."""
    config: Any
    """A frozen dataclass, the argument of the constructor."""
    card: Card = field(repr=False)
    small: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Options, such as smaller images, that make the variant small enough for the conformance suite to run. The card's
    numbers are always checked without them."""
    parts: Callable[[Any], Mapping[str, str | tuple[str, Mapping[str, Any]]]] | None = field(default=None, repr=False)
    """Of a composite: the variants that it is made of by name, each alone or with options of it, for a config. The
    registry builds them and hands the modules to ``build`` by these names."""
    players: Mapping[str, Callable[[Any, int], dict[str, Any]] | None] = field(default_factory=dict, repr=False)
    """Of a model with several players, which it holds as attributes: the ``example`` of each, None for one tensor of
    numbers. The card's ``input``, ``parameters`` and ``macs`` have a value for each."""
    example: Callable[[Any, int], dict[str, Any]] | None = field(default=None, repr=False)
    """For models whose input is not one float tensor: ``example(config, batch)`` returns keyword arguments of
    ``forward``, the same at every call."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``card.input`` of a variant of one player. Raises ValueError for several: ``player(name)`` is one of them."""
        if isinstance(self.card.input, Mapping):
            raise ValueError(f"{self.card.title} has several players: {', '.join(self.card.input)}")
        return self.card.input

    def player(self, name: str) -> Variant:
        """One player as a variant of its own, with its input, parameters and multiply-adds: every check runs on it.

        Raises KeyError for a name that is no player.
        """
        own, whole = self.card, self
        values = {
            key: value[name] if isinstance(value := getattr(own, key), Mapping) else value
            for key in ("input", "parameters", "macs")
        }

        def build(config: Any, **modules: Any) -> Any:
            return getattr(whole.build(config, **modules), name)

        return replace(
            self,
            build=build,
            card=replace(own, title=f"{own.title}, {name}", **values),
            example=self.players[name],
            players={},
        )
