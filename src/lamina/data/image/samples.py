"""Splits of images: arrays as stored, or files decoded on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lamina.data.image.decoding import ImageFile, content_of, size_of
from lamina.data.source import as_index, chosen_targets, repeats
from lamina.data.tabular.stored import StoredBytes
from lamina.errors import DataError

MOST_COMPARED_BYTES = 256 * 2**20
"""contents beyond which pictures are not compared"""
MOST_SAMPLED_BYTES = 256 * 2**20
"""of row groups that are read for a sample of their images"""


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

    def repeated(self, other: ImageArrays) -> int:
        if self.images_NCHW.nbytes + other.images_NCHW.nbytes > MOST_COMPARED_BYTES:
            return 0
        mine, theirs = ((_digest(image.numpy().tobytes()) for image in split.images_NCHW) for split in (self, other))
        return repeats(mine, self.targets, theirs, other.targets)

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

    def repeated(self, other: ImageFiles) -> int:
        sizes, others = ([size_of(path) for path in split.paths] for split in (self, other))
        known = not any(isinstance(path, StoredBytes) for path in (*self.paths, *other.paths))
        both = set(sizes) & set(others) if known else {*sizes, *others}
        compared = sum(size for size in sizes + others if size in both)
        if compared > MOST_COMPARED_BYTES:
            return 0
        mine, theirs = (
            [
                _digest(content_of(path)) if size in both else str(path)
                for path, size in zip(split.paths, of, strict=True)
            ]
            for split, of in ((self, sizes), (other, others))
        )
        return repeats(mine, self.targets, theirs, other.targets)

    def with_targets(self, targets: Tensor | None) -> ImageFiles:
        return replace(self, targets=targets)


def spaced(paths: Sequence[ImageFile], most: int) -> list[int]:
    """The places of about ``most`` images, evenly spaced. Of bytes in Parquet files those of some row groups, where all
    that are asked for would read more than ``MOST_SAMPLED_BYTES``: each is read with its row group.

    Example: ``spaced(paths, 3)`` of nine files is ``[0, 3, 6]``.
    """
    places = list(range(len(paths)))
    groups: dict[tuple[object, int], int] = {}
    for path in paths:
        if isinstance(path, StoredBytes):
            groups[path.part, path.group] = groups.get((path.part, path.group), 0) + path.size
    if (read := sum(groups.values())) > MOST_SAMPLED_BYTES:
        step = -(-read // MOST_SAMPLED_BYTES)
        chosen = set(list(groups)[::step])
        places = [
            place
            for place, path in enumerate(paths)
            if not isinstance(path, StoredBytes) or (path.part, path.group) in chosen
        ]
    return places[:: max(1, -(-len(places) // max(1, most)))]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
