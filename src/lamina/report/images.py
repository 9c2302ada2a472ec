"""Images inside the page: arrays as data URIs, filters and feature maps as small tiles."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamina.report.content import Array

Pixels = NDArray[np.uint8]

MAP = 56
"""CSS pixels of a feature map: 16 stand in a row, and maps of 7, 14 and 28 positions have squares of one size"""
MOST_UNITS = 1024
"""activations drawn of a layer without maps"""


@dataclass(frozen=True)
class Tile:
    """An image to be shown ``width`` CSS pixels wide."""

    uri: str
    width: int
    height: int
    coarse: bool
    """whether its pixels are to be seen as squares, not blurred"""
    caption: str = ""


def tile(image_HWC: Array, side: int = 112, caption: str = "") -> Tile:
    """An image, its longer side ``side`` CSS pixels; values are cut to 0 ... 255."""
    image = np.atleast_3d(np.asarray(image_HWC))
    if image.shape[2] not in (1, 3):
        image = image.mean(2, keepdims=True)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return _encoded(pixels[..., 0] if pixels.shape[2] == 1 else pixels, side, caption)


def filter_tiles(filters_OIHW: Array, most: int = 64) -> list[Tile]:
    """First-layer filters, zero in the middle: in colour where they see three channels, else their mean over them."""
    tiles = []
    for filter_IHW in _finite(filters_OIHW)[:most]:
        if len(filter_IHW) == 3:
            scaled = filter_IHW / (2 * (np.abs(filter_IHW).max() or 1.0)) + 0.5
            picture = (scaled.transpose(1, 2, 0) * 255).round().astype(np.uint8)
        else:
            mean_HW = filter_IHW.mean(0)
            picture = coloured(mean_HW / (2 * (np.abs(mean_HW).max() or 1.0)) + 0.5, "RdBu_r")
        tiles.append(tile(picture, side=48))
    return tiles


def map_tiles(maps: Array, most: int = 16) -> list[Tile]:
    """Feature maps (C, H, W), each over its own range; the first activations of (D,) as one tile, 32 in a row."""
    values = _finite(maps)
    if values.ndim == 1:
        values = values[:MOST_UNITS]
        columns = min(32, len(values))
        rows = -(-len(values) // columns)
        units = np.zeros((rows * columns, 4), dtype=np.uint8)  # what is beyond the last unit stays transparent
        units[: len(values), :3] = coloured(_unit(values), "viridis")
        units[: len(values), 3] = 255
        return [_encoded(units.reshape(rows, columns, 4), side=12 * columns)]
    return [tile(coloured(_unit(map_HW), "viridis"), side=MAP) for map_HW in values[:most]]


def constant(maps_CHW: Array) -> int:
    """The number of maps that are constant over the image."""
    maps = np.asarray(maps_CHW)
    return int(sum(np.ptp(map_HW) == 0 for map_HW in maps)) if maps.ndim == 3 and maps.size else 0


def coloured(values: NDArray[np.float64], scale: str) -> Pixels:
    """Values in [0, 1] through one of matplotlib's colour scales: three channels more."""
    from matplotlib import colormaps

    painted: Pixels = colormaps[scale](values, bytes=True)[..., :3]
    return painted


def _finite(values: Array) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    span = np.ptp(values) if values.size else 0.0
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def _encoded(pixels: Pixels, side: int, caption: str = "") -> Tile:
    """Grey (H, W), colour or colour with opacity; small ones exactly, large ones shrunk to twice ``side``, as JPEG."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    longer = max(picture.size)
    small = longer <= 64
    width, height = (max(1, round(length * side / longer)) for length in picture.size)
    if longer > 2 * side:
        picture = picture.resize((2 * width, 2 * height), Image.Resampling.LANCZOS, reducing_gap=3)
    sheet = io.BytesIO()
    kind = "png" if small else "jpeg"
    picture.save(sheet, kind, optimize=True, quality=85)
    code = base64.b64encode(sheet.getvalue()).decode("ascii")
    return Tile(f"data:image/{kind};base64,{code}", width, height, small, caption)
