"""Images inside the page: arrays as data URIs, filters and feature maps as small tiles."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamina.report.content import Array

Pixels = NDArray[np.uint8]


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
    """An image, uint8, its longer side ``side`` CSS pixels; large ones are shrunk to twice that, as JPEG."""
    from PIL import Image

    picture = Image.fromarray(_displayable(image_HWC))
    longer = max(picture.size)
    shown = tuple(max(1, round(length * side / longer)) for length in picture.size)
    if longer > 2 * side:
        picture = picture.resize((2 * shown[0], 2 * shown[1]), Image.Resampling.LANCZOS, reducing_gap=3)
    sheet = io.BytesIO()
    kind = "PNG" if longer <= 64 else "JPEG"
    picture.save(sheet, kind, optimize=True, quality=85)
    code = base64.b64encode(sheet.getvalue()).decode("ascii")
    return Tile(f"data:image/{kind.lower()};base64,{code}", shown[0], shown[1], longer <= 64, caption)


def filter_tiles(filters_OIHW: Array, most: int = 64) -> list[Tile]:
    """First-layer filters: in colour where they see three channels, else their mean over channels, zero in the middle."""
    tiles = []
    for filter_IHW in np.nan_to_num(np.asarray(filters_OIHW, dtype=np.float64))[:most]:
        if len(filter_IHW) == 3:
            scaled = filter_IHW / (2 * (np.abs(filter_IHW).max() or 1.0)) + 0.5
            picture = (scaled.transpose(1, 2, 0) * 255).round().astype(np.uint8)
        else:
            mean_HW = filter_IHW.mean(0)
            picture = coloured(mean_HW / (2 * (np.abs(mean_HW).max() or 1.0)) + 0.5, "RdBu_r")
        tiles.append(tile(picture, side=48))
    return tiles


def map_tiles(maps: Array, most: int = 16) -> list[Tile]:
    """Feature maps (C, H, W), each over its own range; activations (D,) as one tile, 32 units in a row."""
    maps = np.nan_to_num(np.asarray(maps, dtype=np.float64))
    if maps.ndim == 1:
        columns = min(32, max(1, len(maps)))
        rows = -(-len(maps) // columns)
        padded = np.full(rows * columns, maps.min(initial=0.0))
        padded[: len(maps)] = maps
        return [tile(coloured(_unit(padded.reshape(rows, columns)), "viridis"), side=12 * columns)]
    return [tile(coloured(_unit(map_HW), "viridis"), side=64) for map_HW in maps[:most]]


def constant(maps_CHW: Array) -> int:
    """How many maps do not vary over the image: they say nothing of it."""
    maps = np.asarray(maps_CHW)
    return int(sum(np.ptp(map_HW) == 0 for map_HW in maps)) if maps.ndim == 3 and maps.size else 0


def coloured(values_HW: NDArray[np.float64], scale: str) -> Pixels:
    """Values in [0, 1] through one of matplotlib's colour scales: (H, W, 3)."""
    from matplotlib import colormaps

    painted: Pixels = colormaps[scale](values_HW, bytes=True)[..., :3]
    return painted


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    span = np.ptp(values) if values.size else 0.0
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def _displayable(image_HWC: Array) -> Pixels:
    image = np.atleast_3d(np.asarray(image_HWC))
    if image.shape[2] not in (1, 3):
        image = image.mean(2, keepdims=True)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture[..., 0] if picture.shape[2] == 1 else picture)
