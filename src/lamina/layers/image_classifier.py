"""What the convolutional and windowed image classifiers do alike: stem, stages, neck, head.

x_BCHW -> stem -> stages[0] ... stages[-1] -> neck -> dropout -> head -> logits_BK
                  `------ features ------'    `- embed
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lamina.layers.heads import linear_head, stage_numbers
from lamina.layers.shapes import expect_image


class ImageClassifier(nn.Module):
    """Base of a family that sets ``stem``, ``stages``, ``neck`` and ``dropout``, then calls ``reset_head``.

    ``stages`` give maps (B, C, H, W); ``neck`` turns the last of them into (B, ``embedding``); ``config`` is a frozen
    dataclass with ``in_channels`` and ``num_classes``.
    """

    min_size: int = 1
    """smallest height and width of an image that the mathematics allows; an instance may set its own"""
    config: Any
    stem: nn.Module
    stages: nn.ModuleList
    neck: nn.Module
    dropout: nn.Module
    head: nn.Module
    embedding: int
    """numbers in the vector that ``embed`` gives"""

    @property
    def least(self) -> int:
        """Deprecated: ``min_size``."""
        warnings.warn("least is deprecated: use min_size", DeprecationWarning, stacklevel=2)
        return self.min_size

    @least.setter
    def least(self, value: int) -> None:
        warnings.warn("least is deprecated: use min_size", DeprecationWarning, stacklevel=2)
        self.min_size = value

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """Feature maps (B, C, H, W) after each of the ``stages`` named, from 0; all when None. Later stages than those
        wanted are not calculated.

        Raises ValueError for an image of another shape than the config's, one too small, and a stage that is not there.
        """
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        wanted = stage_numbers(stages, len(self.stages))
        maps = {}
        x_BCHW = self.stem(x_BCHW)
        for number, stage in enumerate(self.stages[: max(wanted, default=-1) + 1]):
            x_BCHW = stage(x_BCHW)
            if number in wanted:
                maps[number] = x_BCHW
        return [maps[number] for number in wanted]

    def embed(self, x_BCHW: Tensor) -> Tensor:
        """The features before the output layer, (B, D)."""
        (x_BCHW,) = self.features(x_BCHW, [-1])
        embedding_BD: Tensor = self.neck(x_BCHW)
        return embedding_BD

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.dropout(self.embed(x_BCHW)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """A new, freshly initialised output layer; 0 removes it, so that forward gives the embedding."""
        self.config = replace(self.config, num_classes=num_classes)
        self.head = linear_head(self.embedding, num_classes, like=next(self.parameters()))
        if num_classes:
            self.initialise_head(self.head)

    def initialise_head(self, head: nn.Module) -> None:
        """A family whose paper or reference starts its output layer otherwise than torch does overrides this."""


def global_average_pool() -> nn.Sequential:
    """(B, C, H, W) -> (B, C): the mean over all positions."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def check_options(config: Any) -> None:
    """Raise ValueError for options out of range that every image classifier has: those of ``config`` that exist."""
    if config.in_channels < 1 or config.num_classes < 0:
        raise ValueError("in_channels must be at least 1 and num_classes at least 0")
    for name in ("dropout", "stochastic_depth"):
        if not 0.0 <= getattr(config, name, 0.0) < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")


def check_min_size(name: str, image_size: int, min_size: int) -> None:
    """Raise ValueError where images of ``image_size`` pixels a side are too small for ``name``."""
    if image_size < min_size:
        raise ValueError(f"{name} needs images of at least {min_size} x {min_size} pixels, got image_size={image_size}")


def check_least(name: str, image_size: int, least: int) -> None:
    """Deprecated: ``check_min_size``."""
    warnings.warn("check_least is deprecated: use check_min_size", DeprecationWarning, stacklevel=2)
    check_min_size(name, image_size, least)
