"""One image handed to predict, whatever it is, in the type the training data had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor

from lamina.data.image.decoding import decode, to_tensor
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image

FULL = {torch.uint8: 255.0, torch.uint16: 65535.0}
KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))


def image_item(
    item: object, *, channels: int, dtype: str, value_range: tuple[float, float], least: int | None = None
) -> Tensor:
    """(C, H, W) with C = ``channels``, or with 1 or 3 where those turn into each other; of type ``dtype``. Files are
    decoded as ``decode`` does with ``least``.

    Raises UsageError for a path that is not there and for what is no image, DataError for values out of range.
    """
    if isinstance(item, str | os.PathLike):
        path = Path(item).expanduser()
        if not path.is_file():
            raise UsageError(f"no such file: {item}")
        _expect_picture(channels, str(item))
        return _stored(decode(path, channels, deep=dtype == "int32", least=least), dtype, value_range)
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
        raise UsageError(f"an image is a path, a PIL image or an array, not {type(item).__name__}")
    return _stored(image, dtype, value_range)


def _stored(image_CHW: Tensor, dtype: str, value_range: tuple[float, float]) -> Tensor:
    """Values moved from the range their own type implies to the one the training data had."""
    kind = image_CHW.dtype
    if kind == torch.bool:
        image_CHW, kind = image_CHW.to(torch.uint8) * 255, torch.uint8
    if dtype == "float32":
        if kind.is_floating_point:
            return _finite(image_CHW.to(torch.float32))  # float data are given as the training data were
        if value_range not in KNOWN_RANGES:
            raise DataError(
                f"the model was trained on values from {value_range[0]:g} to {value_range[1]:g}: give floats"
            )
    if kind.is_floating_point:
        scaled = _finite(image_CHW.to(torch.float64))
        if float(scaled.min()) < 0 or float(scaled.max()) > 1:
            raise DataError("an image given as floats must hold values from 0 to 1")
    else:
        full = FULL.get(kind) or (65535.0 if dtype == "int32" else 255.0)
        scaled = image_CHW.to(torch.float64) / full
        if float(scaled.min()) < 0 or float(scaled.max()) > 1:
            raise DataError(f"an image given as whole numbers must hold values from 0 to {full:g}")
    low, high = value_range
    values = scaled * (high - low) + low
    return values.to(torch.float32) if dtype == "float32" else values.round().to(getattr(torch, dtype))


def _axes(image: Tensor, channels: int, *, first: bool) -> Tensor:
    """(H, W), (C, H, W) or (H, W, C) as (C, H, W); ``first`` is the order preferred where both are possible."""
    known = {1, 3} if channels in (1, 3) else {channels}
    if image.ndim == 2 and 1 in known:
        return image[None]
    if image.ndim == 3 and image.numel():
        order = (0, 2) if first else (2, 0)
        axis = next((axis for axis in order if image.shape[axis] in known), None)
        if axis is not None:
            return image if axis == 0 else image.permute(2, 0, 1)
    wanted = " or ".join(str(count) for count in sorted(known))
    raise DataError(
        f"an image of shape {tuple(image.shape)} does not fit: expected {wanted} channels, height and width"
    )


def _finite(image: Tensor) -> Tensor:
    if not bool(image.isfinite().all()):
        raise DataError("the image holds a value that is not finite")
    return image


def _expect_picture(channels: int, what: str) -> None:
    if channels not in (1, 3):
        raise UsageError(f"the model takes images of {channels} channels: {what} has 1 or 3, give an array")


def _is_picture(item: object) -> TypeGuard[Image.Image]:
    from PIL import Image

    return isinstance(item, Image.Image)
