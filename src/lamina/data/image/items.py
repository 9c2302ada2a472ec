"""Conversion of an image given to predict to the type of the training data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor

from lamina.data.image.decoding import EncodedImage, decode, to_tensor
from lamina.data.tabular.stored import StoredBytes
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image

AT_ONCE = 64
"""images in a batch for prediction"""
FULL = {torch.uint8: 255.0, torch.uint16: 65535.0}
KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))


def image_item(
    item: object, *, channels: int, dtype: str, value_range: tuple[float, float], min_size: int | None = None
) -> Tensor:
    """The image (C, H, W) of type ``dtype``; C is ``channels``, or 1 or 3, which can be converted. ``min_size`` is that
    of ``decode``.

    Raises UsageError for a missing file and other types of items, DataError for values out of range.
    """
    if isinstance(item, str | os.PathLike):
        path = Path(item).expanduser()
        if not path.is_file():
            raise UsageError(f"no such file: {item}")
        _expect_picture(channels, str(item))
        return _stored(decode(path, channels, deep=dtype == "int32", min_size=min_size), dtype, value_range)
    if isinstance(item, EncodedImage | StoredBytes):
        _expect_picture(channels, f"the image {item}")
        return _stored(decode(item, channels, deep=dtype == "int32", min_size=min_size), dtype, value_range)
    if isinstance(item, Tensor):
        image = _axes(item.detach().cpu(), channels, first=True)
    elif isinstance(item, np.ndarray):
        image = _axes(torch.from_numpy(np.ascontiguousarray(item)), channels, first=False)
    elif _is_picture(item):
        _expect_picture(channels, "a PIL image")
        try:
            return _stored(to_tensor(item, channels, deep=dtype == "int32"), dtype, value_range)
        except ValueError as error:
            raise DataError(f"the image {error}") from error
    else:
        raise UsageError(f"an image must be a path, a PIL image or an array, not {type(item).__name__}")
    return _stored(image, dtype, value_range)


def images_of(item: object, channels: int, size: tuple[int, int]) -> Iterator[object]:
    """The images of an item, one by one: of a list, of an array or tensor (N, H, W, C) or (N, C, H, W), or of (N, H, W)
    grey ones; any other item is one image. ``size`` is that of the model's images.

    Raises UsageError for an empty list, and for three grey images that could be one colour image.
    """
    if isinstance(item, list | tuple):
        if not item:
            raise UsageError("nothing to predict: the list of images is empty")
        for one in item:
            yield from images_of(one, channels, size)
        return
    if isinstance(item, np.ndarray | Tensor):
        grey = channels == 1 and item.ndim == 3
        if grey and item.shape[0] == 3 and tuple(item.shape[1:]) == size:
            raise UsageError(
                f"an array of shape {tuple(item.shape)} may be three grey images or one of three channels: give a list "
                "of images, or (N, C, H, W)"
            )
        if item.ndim == 4 or (grey and not {item.shape[0], item.shape[2]} & {1, 3}):
            yield from item
            return
    yield item


def _stored(image_CHW: Tensor, dtype: str, value_range: tuple[float, float]) -> Tensor:
    """Values scaled from the range of their own type to that of the training data."""
    kind = image_CHW.dtype
    if kind == torch.bool:
        image_CHW, kind = image_CHW.to(torch.uint8) * 255, torch.uint8
    if dtype == "float32":
        if kind.is_floating_point:
            return _finite(image_CHW.to(torch.float32))  # floats are expected in the range of the training data
        if value_range not in KNOWN_RANGES:
            raise DataError(
                f"the model was trained on values from {value_range[0]:g} to {value_range[1]:g}: give floats"
            )
    if kind.is_floating_point:
        scaled = _finite(image_CHW.to(torch.float64))
        if float(scaled.min()) < 0 or float(scaled.max()) > 1:
            raise DataError("an image of floats must have values from 0 to 1")
    else:
        full = FULL.get(kind) or (65535.0 if dtype == "int32" else 255.0)
        scaled = image_CHW.to(torch.float64) / full
        if float(scaled.min()) < 0 or float(scaled.max()) > 1:
            raise DataError(f"an image of integers must have values from 0 to {full:g}")
    low, high = value_range
    values = scaled * (high - low) + low
    return values.to(torch.float32) if dtype == "float32" else values.round().to(getattr(torch, dtype))


def _axes(image: Tensor, channels: int, *, first: bool) -> Tensor:
    """(H, W), (C, H, W) or (H, W, C) as (C, H, W); ``first`` prefers channels first if both are possible."""
    allowed = {1, 3} if channels in (1, 3) else {channels}
    if image.ndim == 2 and 1 in allowed:
        return image[None]
    if image.ndim == 3 and image.numel():
        order = (0, 2) if first else (2, 0)
        axis = next((axis for axis in order if image.shape[axis] in allowed), None)
        if axis is not None:
            return image if axis == 0 else image.permute(2, 0, 1)
    expected = " or ".join(str(count) for count in sorted(allowed))
    raise DataError(
        f"an image of shape {tuple(image.shape)} does not fit: expected {expected} channels, height and width"
    )


def _finite(image: Tensor) -> Tensor:
    if not bool(image.isfinite().all()):
        raise DataError("the image holds a value that is not finite")
    return image


def _expect_picture(channels: int, what: str) -> None:
    if channels not in (1, 3):
        raise UsageError(f"the model takes images of {channels} channels, but {what} has 1 or 3: use an array")


def _is_picture(item: object) -> TypeGuard[Image.Image]:
    from PIL import Image

    return isinstance(item, Image.Image)
