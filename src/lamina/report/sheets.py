"""Pictures of the page as PNG files: its tiles on one sheet, its charts as they are on a light page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from lamina.report.images import Tile

GAP = 8
WIDTH = 1200
"""pixels that a sheet is wide at most, unless a single tile is wider"""


def sheet(tiles: Sequence[Tile]) -> bytes:
    """Tiles in rows on white, at twice their size on the page."""
    from PIL import Image

    pictures = []
    for tile in tiles:
        file = Image.open(io.BytesIO(base64.b64decode(tile.uri.partition(",")[2])))
        how = Image.Resampling.NEAREST if tile.coarse else Image.Resampling.LANCZOS
        pictures.append(file.convert("RGB").resize((2 * tile.width, 2 * tile.height), how))
    wide, tall = (max(picture.size[axis] for picture in pictures) + GAP for axis in (0, 1))
    columns = max(1, min(len(pictures), WIDTH // wide))
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * wide + GAP, rows * tall + GAP), "white")
    for i, picture in enumerate(pictures):
        canvas.paste(picture, (GAP + i % columns * wide, GAP + i // columns * tall))
    out = io.BytesIO()
    canvas.save(out, "png", optimize=True)
    return out.getvalue()
