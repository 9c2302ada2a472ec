"""Data for autoencoders: pictures, rows and where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, count: int = 40, side: int = 8) -> Path:
    """Waves of two dimensions in grey."""
    folder.mkdir()
    grid = np.add.outer(np.arange(side), 0.5 * np.arange(side))
    for i, angle in enumerate(np.linspace(0, 6.28, count)):
        pixels = 128 + 100 * np.cos(angle + grid)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    return folder


def write_rows(file: Path, count: int = 80) -> Path:
    """A circle in three columns and one of words, without a target."""
    angles = np.linspace(0, 6.28, count)
    rows = [f"{np.cos(a):.4f},{np.sin(a):.4f},{np.cos(2 * a):.4f},{'xy'[int(a > 3)]}" for a in angles]
    file.write_text("a,b,c,half\n" + "\n".join(rows) + "\n")
    return file


def write_data(kind: str, folder: Path) -> str:
    """digits, or the path of pictures or rows."""
    if kind == "digits":
        return kind
    return str(write_pictures(folder / "pictures") if kind == "pictures" else write_rows(folder / "circle.csv"))
