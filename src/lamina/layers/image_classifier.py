"""Base class of the image classifiers that consist of stem, stages, neck and head.

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
    """Images (B, C, H, W) -> logits (B, K). A subclass sets ``config``, ``stem``, ``stages``, ``neck``, ``dropout`` and
    ``embedding`` in its constructor, then calls ``reset_head(config.num_classes)``.

    Each of the ``stages`` returns feature maps (B, C, H, W); ``neck`` turns those of the last stage into (B, D), with D
    = ``embedding``; ``config`` is a frozen dataclass with ``in_channels`` and ``num_classes``.

    >>> model = lamina.create_model("resnet18", num_classes=10)
    >>> x_BCHW = torch.zeros(2, 3, 64, 64)
    >>> model(x_BCHW).shape, model.embed(x_BCHW).shape
    (torch.Size([2, 10]), torch.Size([2, 512]))
    >>> [tuple(maps_BCHW.shape) for maps_BCHW in model.features(x_BCHW, stages=[0, -1])]
    [(2, 64, 16, 16), (2, 512, 2, 2)]
    """

    min_size: int = 1
    """smallest image height and width the network can process; an instance may set its own"""
    config: Any
    stem: nn.Module
    stages: nn.ModuleList
    neck: nn.Module
    dropout: nn.Module
    head: nn.Module
    embedding: int
    """length D of the vectors that ``embed`` returns"""

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
        """Feature maps (B, C, H, W) after the requested ``stages``, indexed from 0 (None: all), in the requested order.

        Stages after the last requested one are not computed. Raises ValueError for images with the wrong number of
        channels or smaller than ``min_size``, and for a stage that does not exist.
        """
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        requested = stage_numbers(stages, len(self.stages))
        maps = {}
        x_BCHW = self.stem(x_BCHW)
        for number, stage in enumerate(self.stages[: max(requested, default=-1) + 1]):
            x_BCHW = stage(x_BCHW)
            if number in requested:
                maps[number] = x_BCHW
        return [maps[number] for number in requested]

    def embed(self, x_BCHW: Tensor) -> Tensor:
        """The pooled features before dropout and output layer, (B, D)."""
        (x_BCHW,) = self.features(x_BCHW, [-1])
        embedding_BD: Tensor = self.neck(x_BCHW)
        return embedding_BD

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K). Raises ValueError as ``features`` does."""
        logits_BK: Tensor = self.head(self.dropout(self.embed(x_BCHW)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace the output layer by a newly initialised one; with 0 classes forward returns the embedding (B, D)."""
        self.config = replace(self.config, num_classes=num_classes)
        self.head = linear_head(self.embedding, num_classes, like=next(self.parameters()))
        if num_classes:
            self.initialise_head(self.head)

    def initialise_head(self, head: nn.Module) -> None:
        """Initialise a new output layer. Overridden where paper or reference differ from torch's default."""


def global_average_pool() -> nn.Sequential:
    """The mean over all positions: (B, C, H, W) -> (B, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def check_options(config: Any) -> None:
    """Raise ValueError if one of the options that image classifiers share, and ``config`` has, is out of range."""
    if config.in_channels < 1 or config.num_classes < 0:
        raise ValueError("in_channels must be at least 1 and num_classes at least 0")
    for name in ("dropout", "stochastic_depth"):
        if not 0.0 <= getattr(config, name, 0.0) < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")


def check_min_size(name: str, image_size: int, min_size: int) -> None:
    """Raise ValueError if images of ``image_size`` pixels a side are too small for the network ``name``."""
    if image_size < min_size:
        raise ValueError(f"{name} needs images of at least {min_size} x {min_size} pixels, got image_size={image_size}")


def check_least(name: str, image_size: int, least: int) -> None:
    """Deprecated: ``check_min_size``."""
    warnings.warn("check_least is deprecated: use check_min_size", DeprecationWarning, stacklevel=2)
    check_min_size(name, image_size, least)
