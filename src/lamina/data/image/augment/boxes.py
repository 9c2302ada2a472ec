"""Random boxes in an image, as Inception's crops and random erasing draw them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamina.data.streams import Batch

ATTEMPTS = 10


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Batch:
    """ "top", "left", "rows", "columns" (int64, pixels) of ``count`` boxes in images of ``size``, and "found" (bool).

    A box covers a share of the area uniform in ``scale``; the logarithm of its width over its height is uniform in that
    of ``ratio``. The first of ten attempts that fits is used; if none does, ``found`` is False and the box is the whole
    image.
    """
    height, width = size
    area = _uniform(scale, (count, ATTEMPTS), generator) * height * width
    aspect = _uniform((math.log(ratio[0]), math.log(ratio[1])), (count, ATTEMPTS), generator).exp()
    place = torch.rand((2, count), generator=generator)
    rows, columns = (area / aspect).sqrt().round().long(), (area * aspect).sqrt().round().long()
    fits = (rows >= 1) & (rows <= height) & (columns >= 1) & (columns <= width)
    found, first = fits.any(1), fits.long().argmax(1, keepdim=True)  # argmax: the first of equals
    rows = torch.where(found, rows.gather(1, first)[:, 0], height)
    columns = torch.where(found, columns.gather(1, first)[:, 0], width)
    top, left = (place[0] * (height - rows + 1)).long(), (place[1] * (width - columns + 1)).long()
    return {"top": top, "left": left, "rows": rows, "columns": columns, "found": found}


def inside(box: Batch, size: tuple[int, int], device: torch.device) -> Tensor:
    """(B, 1, H, W) bool: the pixels of each image inside its box."""
    top, left, rows, columns = (box[name].to(device)[:, None] for name in ("top", "left", "rows", "columns"))
    y, x = (torch.arange(n, device=device)[None] for n in size)
    down, across = (y >= top) & (y < top + rows), (x >= left) & (x < left + columns)
    return (down[:, :, None] & across[:, None, :])[:, None]


def _uniform(limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = limits
    return torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
