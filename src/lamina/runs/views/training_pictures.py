"""The report's section of pictures that were made during training."""

from __future__ import annotations

import numpy as np

from lamina.report.blocks import Block, Section, Tiles
from lamina.report.images import tile
from lamina.runs.opened import Opened

EPOCHS = 6
"""epochs that are shown"""


def training_pictures(run: Opened) -> list[Section]:
    """The pictures of some epochs, the first and the last among them; nothing where there are none."""
    from PIL import Image

    epochs = run.directory.epoch_pictures()
    if not epochs:
        return []
    known = sorted(epochs)
    if len(known) > EPOCHS:
        known = [known[round(i * (len(known) - 1) / (EPOCHS - 1))] for i in range(EPOCHS)]
    blocks: list[Block] = []
    for epoch in known:
        picture = np.array(Image.open(epochs[epoch]))
        blocks.append(Tiles(title=f"Epoch {epoch}", alt=f"pictures of epoch {epoch}", tiles=[tile(picture, 640)]))
    return [Section(name="training-pictures", title="Pictures during training", blocks=blocks)]
