"""Pictures side by side as one PNG file, and one after the other as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from lamina.report.content import Array

LEAST_SIDE = 56
"""pixels that a small picture is enlarged to, by a whole factor"""
GAP = 2
MILLISECONDS = 120
"""that a frame is shown"""
REST = 1500
"""milliseconds that the last frame is shown of what does not go back"""


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
    """Pictures as the frames of a GIF that goes there and back for ever, or begins again after a rest at its end."""
    from PIL import Image

    shown = [*pictures, *reversed(pictures[1:-1])] if back else list(pictures)
    frames = [Image.fromarray(_plain(_enlarged(picture))) for picture in shown]
    durations = [MILLISECONDS] * len(frames)
    if not back:
        durations[-1] = REST
    return _saved(frames[0], "gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _shown(picture: Array) -> Array:
    """With one or three channels; others are shown as their mean, in grey."""
    values = np.atleast_3d(np.asarray(picture))
    return values if values.shape[2] in (1, 3) else values.mean(2, keepdims=True).astype(np.uint8)


def _enlarged(picture: Array) -> Array:
    values = _shown(picture)
    factor = max(1, -(-LEAST_SIDE // max(values.shape[:2])))
    larger: Array = values.repeat(factor, 0).repeat(factor, 1)
    return larger


def _plain(values: Array) -> Array:
    return values[..., 0] if values.shape[2] == 1 else values


def _saved(picture: object, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[attr-defined]
    return file.getvalue()
