"""Splits of images: arrays as stored, or files decoded on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lamina.data.image.decoding import ImageFile
from lamina.data.source import as_index, chosen_targets
from lamina.errors import DataError


@dataclass(frozen=True)
class ImageArrays:
    """Images of one size as stored: (N, C, H, W) uint8, uint16 or float32."""

    images_NCHW: Tensor
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def subset(self, index: Sequence[int]) -> ImageArrays:
        chosen = as_index(index)
        return ImageArrays(self.images_NCHW[chosen], chosen_targets(self.targets, chosen))

    def joined(self, other: ImageArrays) -> ImageArrays:
        mine, theirs = self.images_NCHW, getattr(other, "images_NCHW", None)
        if theirs is None or mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
            raise DataError(
                "image arrays can only be combined with equal size, channels and type: use image files instead"
            )
        return ImageArrays(torch.cat([mine, theirs]))

    def with_targets(self, targets: Tensor | None) -> ImageArrays:
        return replace(self, targets=targets)


@dataclass(frozen=True)
class ImageFiles:
    """Images as files, or encoded in memory, decoded on demand."""

    paths: tuple[ImageFile, ...]
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Sequence[int]) -> ImageFiles:
        chosen = as_index(index)
        return ImageFiles(tuple(self.paths[i] for i in chosen.tolist()), chosen_targets(self.targets, chosen))

    def joined(self, other: ImageFiles) -> ImageFiles:
        if not hasattr(other, "paths"):
            raise DataError("image files cannot be combined with image arrays: use files for both")
        return ImageFiles(self.paths + other.paths)

    def with_targets(self, targets: Tensor | None) -> ImageFiles:
        return replace(self, targets=targets)
