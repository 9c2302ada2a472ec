"""Overlays on an image: heat maps, attention windows, receptive fields."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lamina.report.content import Array
from lamina.report.images import Pixels, coloured

LEAST = 288
"""pixels that the longer side of a picture is enlarged to at least, so that lines on it are thin"""
LINE = (255, 255, 255)
SHADOW = (20, 20, 20)
MARK = (80, 220, 255)


def enlarged(image_HWC: Array, smooth: bool = False) -> Pixels:
    """An image as (H, W, 3), each pixel repeated (or ``smooth``) until its longer side has ``LEAST`` pixels."""
    from PIL import Image

    pixels = np.atleast_3d(np.asarray(image_HWC))
    if pixels.shape[2] not in (1, 3):
        pixels = pixels.mean(2, keepdims=True)
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    times = math.ceil(LEAST / max(picture.size))
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(picture.resize((times * picture.width, times * picture.height), how))


def heat(image_HWC: Array, values_HW: Array) -> Pixels:
    """The image, grey, under values that are not negative: the greater, the stronger and the warmer; 0 shows the image.

    ``values_HW`` may be of another size than the image. All are shown over their greatest.
    """
    picture = enlarged(image_HWC).astype(np.float64)
    grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2)
    share_HW = resized(scaled(values_HW), (picture.shape[0], picture.shape[1]))
    opacity = 0.75 * np.sqrt(share_HW)[..., None]
    warm = coloured(share_HW, "inferno").astype(np.float64)
    painted: Pixels = (grey * (1 - opacity) + warm * opacity).round().astype(np.uint8)
    return painted


def blocks(image_HWC: Array, values_HW: Array) -> Pixels:
    """As ``heat``, the values as squares of their own positions."""
    picture = enlarged(image_HWC)
    return heat(picture, repeated(np.asarray(values_HW), (picture.shape[0], picture.shape[1])))


def windows(picture: Pixels, window_HW: Array, marked: tuple[int, int] | None = None) -> Pixels:
    """Lines where the number of the window changes, and a frame around the position ``marked`` (row, column)."""
    from PIL import Image, ImageDraw

    sheet = Image.fromarray(picture)
    pen = ImageDraw.Draw(sheet)
    number = np.asarray(window_HW)
    rows, columns = number.shape
    tall, wide = sheet.height / rows, sheet.width / columns
    for colour, width in ((SHADOW, 3), (LINE, 1)):
        for row, column in zip(*np.nonzero(number[1:] != number[:-1]), strict=True):
            y = round((row + 1) * tall)
            pen.line((round(column * wide), y, round((column + 1) * wide), y), fill=colour, width=width)
        for row, column in zip(*np.nonzero(number[:, 1:] != number[:, :-1]), strict=True):
            x = round((column + 1) * wide)
            pen.line((x, round(row * tall), x, round((row + 1) * tall)), fill=colour, width=width)
    if marked is not None:
        row, column = marked
        corners = (
            round(column * wide), round(row * tall), round((column + 1) * wide) - 1, round((row + 1) * tall) - 1,
        )  # fmt: skip
        pen.rectangle(corners, outline=SHADOW, width=4)
        pen.rectangle(corners, outline=MARK, width=2)
    return np.asarray(sheet)


def field(field_HW: Array, centre: tuple[float, float], radius: float) -> Pixels:
    """An effective receptive field, square roots of its values in colour, framed ``radius`` about its centre."""
    from PIL import Image, ImageDraw

    root_HW = np.sqrt(scaled(field_HW))
    small = coloured(root_HW, "inferno")
    sheet = Image.fromarray(enlarged(small))
    if math.isfinite(radius):
        times = sheet.width / small.shape[1]
        (y, x), r = ((value + 0.5) * times for value in centre), (radius + 0.5) * times
        ImageDraw.Draw(sheet).rectangle((x - r, y - r, x + r, y + r), outline=MARK, width=2)
    return np.asarray(sheet)


def scaled(values: Array) -> NDArray[np.float64]:
    """Values that are not negative, over their greatest; 0 where all are 0 or not finite."""
    finite = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0), 0, None)
    return finite / (finite.max() or 1.0)


def repeated(values_HW: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.generic]:
    """Values brought to (height, width), each as a square."""
    rows = np.arange(size[0]) * values_HW.shape[0] // size[0]
    columns = np.arange(size[1]) * values_HW.shape[1] // size[1]
    squares: NDArray[np.generic] = values_HW[rows[:, None], columns]
    return squares


def resized(values_HW: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Values in [0, 1] brought to (height, width), bilinearly."""
    from PIL import Image

    picture = Image.fromarray(values_HW.astype(np.float32))
    grown = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(grown, dtype=np.float64), 0, 1)
