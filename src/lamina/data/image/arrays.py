"""Sources of images in arrays: (N, C, H, W) uint8, uint16 or float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.data.fingerprints import of_tensors
from lamina.data.image.samples import ImageArrays
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import DataSpec
from lamina.data.splits import complete
from lamina.data.targets.labels import Labels
from lamina.errors import DataError, UsageError

USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
CHUNK = 1024


def image_arrays_source(
    name: str, images: Mapping[str, Tensor], labels: Labels, options: DataOptions, licence: str = ""
) -> Source:
    """A source of images (N, C, H, W) for each split; ``labels`` holds their targets, concatenated over splits."""
    shapes = {split: tuple(part.shape[1:]) for split, part in images.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(f"{name}: images of {split} are {shape}, but those of train {shapes['train']} (C, H, W)")
        if images[split].dtype != images["train"].dtype:
            raise DataError(f"{name}: images of {split} have another type than those of train")
    channels, height, width = images["train"].shape[1:]
    parts = labels.of_splits({split: len(part) for split, part in images.items()})
    content = {f"{split} images": part for split, part in images.items()}
    content |= {} if labels.values is None else {"targets": labels.values}
    spec = DataSpec(
        name=name,
        kind="image",
        **labels.facts(),
        channels=channels,
        height=height,
        width=width,
        value_range=_value_range(images),
        fingerprint=of_tensors(content),
        licence=licence,
    )
    return complete(spec, {split: ImageArrays(images[split], parts[split]) for split in images}, options)


def stored(array: np.ndarray[Any, Any], what: str, *, layout: str = "auto") -> Tensor:
    """An array of images (N, H, W), (N, C, H, W) or (N, H, W, C) as (N, C, H, W) uint8, uint16 or float32.

    Booleans become 0 and 255; wider integers are narrowed if their values allow it. ``what`` describes the array in
    messages. Raises DataError for other types and values that are not finite, UsageError for an ambiguous channel axis.

    Example: ``stored(np.zeros((10, 28, 28), np.uint8), "images")`` has the shape (10, 1, 28, 28).
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4:
        array = array if channel_axis(array.shape, what, layout) == 1 else array.transpose(0, 3, 1, 2)
    else:
        raise DataError(f"{what} has {array.ndim} axes, but images have 3 (N, H, W) or 4 (with channels)")
    if 0 in array.shape:
        raise DataError(f"{what} is empty: its shape is {array.shape}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint16):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 65535:
            raise DataError(f"{what} holds values from {low} to {high}: integers must lie in 0 to 65535")
        array = array.astype(np.uint8 if high <= 255 else np.uint16)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        for start in range(0, len(array), CHUNK):
            finite = np.isfinite(array[start : start + CHUNK]).all(axis=(1, 2, 3))
            if not finite.all():
                raise DataError(f"{what}: image {start + int(finite.argmin()) + 1} holds a value that is not finite")
    elif array.dtype.kind not in "iu":
        raise DataError(f"{what} is of type {array.dtype}, but images must be numeric")
    whole = np.ascontiguousarray(array)
    return torch.from_numpy(whole if whole.flags.writeable else whole.copy())


def channel_axis(shape: tuple[int, ...], what: str, layout: str = "auto") -> int:
    """1 for NCHW, 3 for NHWC: the axis that differs from two equal ones, else the smaller. Raises UsageError."""
    if layout != "auto":
        return 1 if layout == "NCHW" else 3
    _, a, b, c = shape
    if a == c:
        raise UsageError(f"{what} has shape {shape}: set 'layout' to NCHW or NHWC")
    if b in (a, c):
        return 1 if b == c else 3
    return 1 if a < c else 3


def _value_range(images: Mapping[str, Tensor]) -> tuple[float, float]:
    """The values of black and white: the range of the stored type; for floats the smallest usual range of all
    values."""
    dtype = images["train"].dtype
    if dtype != torch.float32:
        return 0.0, 255.0 if dtype == torch.uint8 else 65535.0
    smallest = min(float(part.min()) for part in images.values())
    largest = max(float(part.max()) for part in images.values())
    for low, high in USUAL_RANGES:
        if low <= smallest and largest <= high:
            return low, high
    return smallest, largest if largest > smallest else smallest + 1.0
