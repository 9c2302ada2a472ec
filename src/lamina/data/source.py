"""A source in memory: raw splits and their spec, before any preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lamina.data.spec import DataSpec

if TYPE_CHECKING:
    import pandas as pd

# Targets: (N,) int64 class indices, or (N, K) float32: zeros and ones for multi-label, values for regression.


@dataclass(frozen=True)
class ImageArrays:
    """Images of one size held as stored: (N, C, H, W) uint8, uint16 or float32."""

    images_NCHW: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def subset(self, index: Sequence[int]) -> ImageArrays:
        chosen = torch.as_tensor(index, dtype=torch.int64)
        return ImageArrays(self.images_NCHW[chosen], self.targets[chosen])


@dataclass(frozen=True)
class ImageFiles:
    """Images as files, decoded when needed."""

    paths: tuple[Path, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Sequence[int]) -> ImageFiles:
        chosen = torch.as_tensor(index, dtype=torch.int64)
        return ImageFiles(tuple(self.paths[i] for i in chosen.tolist()), self.targets[chosen])


@dataclass(frozen=True)
class Table:
    """Rows of a data frame without its target columns, values as read."""

    frame: pd.DataFrame
    targets: Tensor

    def __len__(self) -> int:
        return len(self.frame)

    def subset(self, index: Sequence[int]) -> Table:
        chosen = torch.as_tensor(index, dtype=torch.int64)
        return Table(self.frame.iloc[chosen.tolist()].reset_index(drop=True), self.targets[chosen])


@dataclass(frozen=True)
class Texts:
    """Texts, each with a target."""

    texts: tuple[str, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, index: Sequence[int]) -> Texts:
        chosen = torch.as_tensor(index, dtype=torch.int64)
        return Texts(tuple(self.texts[i] for i in chosen.tolist()), self.targets[chosen])


@dataclass(frozen=True)
class Pairs:
    """Texts, each with its translation."""

    sources: tuple[str, ...]
    texts: tuple[str, ...]
    """the translations"""

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, index: Sequence[int]) -> Pairs:
        return Pairs(tuple(self.sources[i] for i in index), tuple(self.texts[i] for i in index))


@dataclass(frozen=True)
class Text:
    """Running text; its length is in characters."""

    text: str

    def __len__(self) -> int:
        return len(self.text)


Labelled = ImageArrays | ImageFiles | Table | Texts
"""splits whose samples have targets"""
Split = Labelled | Text | Pairs


def labelled(split: Split) -> Labelled:
    """The same split, known to have targets. Raises TypeError for running text and for pairs."""
    if isinstance(split, Text | Pairs):
        raise TypeError(f"{type(split).__name__} has no targets")
    return split


@dataclass(frozen=True)
class Source:
    """Named splits ("train", and where they exist "validation" and "test") and what is known of them."""

    spec: DataSpec
    splits: Mapping[str, Split]
