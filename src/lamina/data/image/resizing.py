"""Resizing and channel conversion of stored images, shared by arrays and files."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Resize = Literal["stretch", "pad", "crop"]


def resize(images_NCHW: Tensor, size: tuple[int, int], mode: Resize) -> Tensor:
    """Images resized to (height, width) by antialiased bilinear interpolation, in their own type.

    ``stretch``: each side by its own factor. ``pad``: shrunk to fit, never enlarged, and centred on the colour of the
    top left pixel. ``crop``: scaled to cover the size, then centre-cropped. Results are independent of the batch.
    (uint8 agrees with PIL's BILINEAR to 1 in 255.)

    Example: ``resize(images_NCHW, (32, 32), "pad")``
    """
    height, width = images_NCHW.shape[2:]
    if (height, width) == size:
        return images_NCHW
    if mode == "stretch":
        return _interpolate(images_NCHW, *size)
    if mode == "crop":
        factor = max(size[0] / height, size[1] / width)
        cover = _interpolate(images_NCHW, max(size[0], round(height * factor)), max(size[1], round(width * factor)))
        return centre(cover, size).contiguous()
    factor = min(1.0, size[0] / height, size[1] / width)
    inner = _interpolate(
        images_NCHW, min(size[0], max(1, round(height * factor))), min(size[1], max(1, round(width * factor)))
    )
    canvas = images_NCHW[:, :, :1, :1].expand(-1, -1, *size).clone()
    top, left = (size[0] - inner.shape[2]) // 2, (size[1] - inner.shape[3]) // 2
    canvas[:, :, top : top + inner.shape[2], left : left + inner.shape[3]] = inner
    return canvas


def centre(images_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre crop of (height, width)."""
    top, left = (images_NCHW.shape[2] - size[0]) // 2, (images_NCHW.shape[3] - size[1]) // 2
    return images_NCHW[:, :, top : top + size[0], left : left + size[1]]


def convert_channels(images_NCHW: Tensor, channels: int) -> Tensor:
    """Grey to colour by repetition, colour to grey by PIL's luma: (19595 R + 38470 G + 7471 B) / 2^16."""
    if images_NCHW.shape[1] == channels:
        return images_NCHW
    if channels == 3:
        return images_NCHW.expand(-1, 3, -1, -1).contiguous()
    dtype = images_NCHW.dtype
    if dtype.is_floating_point:
        weights = torch.tensor([19595.0, 38470.0, 7471.0], dtype=dtype).view(1, 3, 1, 1) / 65536
        return (images_NCHW * weights).sum(1, keepdim=True)
    wide = torch.int32 if dtype == torch.uint8 else torch.int64  # 65535 * 2^16 does not fit 32 bits
    red, green, blue = images_NCHW.to(wide).chunk(3, dim=1)
    grey: Tensor = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return grey.to(dtype)


def _interpolate(images_NCHW: Tensor, height: int, width: int) -> Tensor:
    if images_NCHW.shape[2:] == (height, width):
        return images_NCHW
    dtype = images_NCHW.dtype
    native = dtype == torch.uint8 or dtype.is_floating_point
    source = images_NCHW if native else images_NCHW.to(torch.float32)
    out = functional.interpolate(source, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return out if native else out.round_().to(dtype)
