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


Split = ImageArrays | ImageFiles | Table


@dataclass(frozen=True)
class Source:
    """Named splits ("train", and where they exist "validation" and "test") and what is known of them."""

    spec: DataSpec
    splits: Mapping[str, Split]
