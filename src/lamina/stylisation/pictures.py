"""Pictures as tensors (1, 3, H, W) with values from 0 to 1, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from lamina.data.image.items import image_item
from lamina.data.image.resizing import convert_channels
from lamina.errors import UsageError
from lamina.files import write_whole

Picture = np.ndarray[Any, np.dtype[np.uint8]]


def read(item: Any) -> Tensor:
    """A path, PIL image or array of any mode in colour. Raises UsageError or DataError as ``Run.predict``."""
    image_CHW = image_item(item, channels=3, dtype="uint8", value_range=(0.0, 255.0))
    return image_CHW.expand(3, -1, -1)[None].float() / 255


def with_channels(x_BCHW: Tensor, channels: int) -> Tensor:
    """Grey pictures as colours or colours as grey, where they have others: ``with_channels(x_BCHW, 1)``."""
    return convert_channels(x_BCHW, channels)


def within(x_BCHW: Tensor, side: int | None) -> Tensor:
    """The picture resized so that its longer side has ``side`` pixels, antialiased; None: unchanged."""
    height, width = x_BCHW.shape[2:]
    longer = max(height, width)
    if side is None or side == longer:
        return x_BCHW
    size = (max(1, round(height * side / longer)), max(1, round(width * side / longer)))
    return functional.interpolate(x_BCHW, size=size, mode="bilinear", antialias=True, align_corners=False)


def as_picture(x_BCHW: Tensor) -> Picture:
    """The first picture of a batch, (H, W, 3) uint8."""
    picture: Picture = (x_BCHW[0].float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return picture


def expect_writable(path: Path) -> None:
    """Raise UsageError for a suffix of no picture format, and for a folder that does not exist."""
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UsageError(f"{path}: '{path.suffix}' is no picture format that can be written: use .png or .jpg")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def save(picture: Picture, path: Path) -> None:
    """Write a picture, in the format of its suffix. Raises UsageError as ``expect_writable``."""
    from PIL import Image

    expect_writable(path)
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_whole(path, lambda file: Image.fromarray(picture).save(file, format=kind))
