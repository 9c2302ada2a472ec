"""Pictures side by side as one PNG file, and one after the other as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lamina.report.content import Array

if TYPE_CHECKING:
    import PIL.Image

LEAST_SIDE = 56
"""pixels that a small picture is enlarged to, by a power of two: pictures of a net that grows are then of one size"""
GAP = 2
MILLISECONDS = 120
"""that a frame is shown"""
REST = 1500
"""milliseconds that the last frame is shown of what does not go back"""
MOST_FRAMES = 24
"""of what does not go back: of more pictures some are taken, evenly, the first and the last among them"""
GREYS, COLOURS = 16, 64
"""in the one palette that all frames share"""


def grid_png(pictures: Sequence[Array], columns: int | None = None) -> bytes:
    """Pictures (H, W, C) uint8 of one size in rows of ``columns`` (default: as wide as high), as a PNG file."""
    from PIL import Image

    columns = columns or int(np.ceil(np.sqrt(len(pictures))))
    enlarged = [_enlarged(picture) for picture in pictures]
    height, width, channels = enlarged[0].shape
    rows = -(-len(enlarged) // columns)
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, dtype=np.uint8)
    for i, picture in enumerate(enlarged):
        y, x = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        canvas[y : y + height, x : x + width] = picture
    return _saved(Image.fromarray(_plain(canvas)), "png", optimize=True)


def picture_png(picture: Array) -> bytes:
    """One picture as a PNG file, at its own size."""
    from PIL import Image

    return _saved(Image.fromarray(_plain(_shown(picture))), "png", optimize=True)


def animation_gif(pictures: Sequence[Array], back: bool = True) -> bytes:
    """Pictures (H, W, C) uint8 as a GIF that goes there and back for ever, or begins again after a rest at its end.

    All frames have the size of the largest picture and share one palette: Pillow cannot read back a file whose frames
    are of several modes.
    """
    if back:
        shown = [*pictures, *reversed(pictures[1:-1])]
    else:
        count = min(len(pictures), MOST_FRAMES)
        shown = [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).round().astype(int)]
    frames = _in_one_palette([_enlarged(picture) for picture in shown])
    durations = [MILLISECONDS] * len(frames)
    if not back:
        durations[-1] = REST
    return _saved(frames[0], "gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _in_one_palette(pictures: Sequence[Array]) -> list[PIL.Image.Image]:
    """Pictures of the size of the largest, with few greys or, if one of them is coloured, few colours."""
    from PIL import Image

    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    sized = [_resized(picture, height, width) for picture in pictures]
    if all(picture.shape[2] == 1 for picture in sized):
        palette = [grey for level in range(GREYS) for grey in [round(level * 255 / (GREYS - 1))] * 3]
        frames = [
            Image.fromarray(np.round(picture[..., 0].astype(float) * (GREYS - 1) / 255).astype(np.uint8))
            for picture in sized
        ]
        for frame in frames:
            frame.putpalette(palette)
        return frames
    coloured = [np.broadcast_to(picture, (height, width, 3)) for picture in sized]
    shared = Image.fromarray(np.concatenate(coloured)).quantize(COLOURS)
    return [Image.fromarray(picture).quantize(palette=shared, dither=Image.Dither.NONE) for picture in coloured]


def _resized(picture: Array, height: int, width: int) -> Array:
    """By repeating pixels."""
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), picture.shape[:2], strict=True))
    larger: Array = picture[np.ix_(rows, columns)]
    return larger


def _shown(picture: Array) -> Array:
    """With one or three channels; others are shown as their mean, in grey."""
    values = np.atleast_3d(np.asarray(picture))
    return values if values.shape[2] in (1, 3) else values.mean(2, keepdims=True).astype(np.uint8)


def _enlarged(picture: Array) -> Array:
    values = _shown(picture)
    factor = 1
    while factor * max(values.shape[:2]) < LEAST_SIDE:
        factor *= 2
    larger: Array = values.repeat(factor, 0).repeat(factor, 1)
    return larger


def _plain(values: Array) -> Array:
    return values[..., 0] if values.shape[2] == 1 else values


def _saved(picture: PIL.Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
