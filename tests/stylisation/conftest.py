"""A folder of small pictures, and two of them by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from style_reference import picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(12):
        Image.fromarray(picture(seed, 50, 56)).save(folder / f"{seed:02}.png")
    return folder
