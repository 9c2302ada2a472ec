"""Pictures of the page as PNG files: its tiles on one sheet, its charts as they are on a light page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.report.images import Tile

if TYPE_CHECKING:
    from PIL import ImageFont

GAP = 8
WIDTH = 1200
"""pixels that a sheet is wide at most, unless a single tile is wider"""
FONT, LINE = 20, 26
"""size of captions, and pixels from one line to the next"""
INK = (27, 32, 38)


def sheet(tiles: Sequence[Tile]) -> bytes:
    """Tiles in rows of like length on white, at twice their size on the page, their captions below them."""
    from PIL import Image, ImageDraw

    pictures = []
    for tile in tiles:
        file = Image.open(io.BytesIO(base64.b64decode(tile.uri.partition(",")[2])))
        how = Image.Resampling.NEAREST if tile.coarse else Image.Resampling.LANCZOS
        pictures.append(file.convert("RGB").resize((2 * tile.width, 2 * tile.height), how))
    wide, tall = (max(picture.size[axis] for picture in pictures) + GAP for axis in (0, 1))
    tall += LINE * max(len(tile.caption.splitlines()) for tile in tiles)
    rows = -(-len(pictures) // max(1, WIDTH // wide))
    columns = -(-len(pictures) // rows)
    canvas = Image.new("RGB", (columns * wide + GAP, rows * tall + GAP), "white")
    pen = ImageDraw.Draw(canvas)
    for i, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        x, y = GAP + i % columns * wide, GAP + i // columns * tall
        canvas.paste(picture, (x, y))
        for number, line in enumerate(tile.caption.splitlines()):
            pen.text((x, y + picture.height + number * LINE), line, fill=INK, font=_font())
    out = io.BytesIO()
    canvas.save(out, "png", optimize=True)
    return out.getvalue()


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The one that matplotlib brings: the same on every machine."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), FONT)
