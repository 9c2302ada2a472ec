"""Image files to tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from lamina.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "gif", "webp", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "jp2", "avif", "tga", "pcx"),
    )
)
MOST_NAMED = 10
"""unreadable files named in one message"""
WAY_OUT = "skip_bad (--skip-bad) leaves out what cannot be read"
THREADS = min(4, os.cpu_count() or 1)
"""decoders at work at once: PIL decodes outside Python's lock; more than processors only wait for it"""
TOGETHER = 16
"""files that a thread is handed at once: one at a time it would wait longer than work"""
AHEAD = 16
"""such parts under way"""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Header:
    """What a file says of its image before the pixels are read."""

    channels: int
    """1 or 3: transparency is laid on white, palettes and CMYK become RGB"""
    height: int
    width: int
    deep: bool
    """more than 8 bits for each value"""


def header(path: Path) -> Header:
    """Mode and size of an image file, turned as its EXIF tag says. Raises DataError naming the file."""
    with _guard(path), _open(path) as image:
        channels = 1 if image.mode in ("1", "L", "LA", "La", "F", "I") or image.mode.startswith("I;16") else 3
        # PIL gives a TIFF's size turned; to ask a PNG for its tag would decode it (it is heeded when that is done)
        turned = image.format in ("JPEG", "MPO", "WEBP") and image.getexif().get(0x0112) in (5, 6, 7, 8)
        width, height = (image.height, image.width) if turned else (image.width, image.height)
        return Header(channels, height, width, image.mode == "I" or image.mode.startswith("I;16"))


def decode(path: Path, channels: int, *, deep: bool = False, least: int | None = None) -> Tensor:
    """An image file as (C, H, W): uint8, or uint16 where ``deep``. Raises DataError naming the file.

    A JPEG that is to be shrunk anyway is decoded at 1/2, 1/4 or 1/8 of its size where both sides keep twice ``least``
    pixels at least: faster, in a fraction of the memory, and after shrinking hardly another image.
    """
    with _guard(path), _open(path) as image:
        if least is not None:
            image.draft(None, (2 * least, 2 * least))  # nothing but JPEG heeds it
        return to_tensor(image, channels, deep=deep)


def to_tensor(image: Image.Image, channels: int, *, deep: bool = False) -> Tensor:
    """A PIL image (or the first frame) as (C, H, W) with 1 (grey) or 3 (RGB) channels: uint8, or uint16 if ``deep``.

    The EXIF orientation is applied, transparency laid on white, 16-bit grey kept (``deep``) or brought to 8 bits
    by 257 (8 bits to 16 likewise). Grey is PIL's luma, (19595 R + 38470 G + 7471 B) / 2^16.
    """
    from PIL import Image, ImageOps

    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("holds floating-point values; store such images in an .npz file")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("holds values outside 0 to 65535; store such images in an .npz file")
        grey = values.astype(np.uint16) if deep else ((values + 128) // 257).astype(np.uint8)
        return torch.from_numpy(np.repeat(grey[None], channels, axis=0))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    wanted = "L" if channels == 1 else "RGB"
    image = image if image.mode == wanted else image.convert(wanted)
    # plane after plane: a third of the time of an array of pixels turned round
    planes = bytearray().join(band.tobytes() for band in image.split())
    out_CHW = np.frombuffer(planes, dtype=np.uint8).reshape(channels, image.height, image.width)
    return torch.from_numpy(out_CHW.astype(np.uint16) * np.uint16(257) if deep else out_CHW)


def attempt(work: Callable[[In], Out], items: Sequence[In], threads: int = THREADS) -> Iterator[Out | DataError]:
    """``work`` over all items on a few threads, in order; a DataError is given in place of the result it prevented."""

    def some(part: Sequence[In]) -> list[Out | DataError]:
        results: list[Out | DataError] = []
        for item in part:
            try:
                results.append(work(item))
            except DataError as error:
                results.append(error)
        return results

    parts = [items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER)]
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(parts), AHEAD):  # so that results do not pile up ahead of who consumes them
            for results in pool.map(some, parts[start : start + AHEAD]):
                yield from results


def unreadable(errors: Sequence[DataError], total: int) -> DataError:
    """One error for those of ``total`` files that cannot be read, and what can be done where others can."""
    if len(errors) == 1:
        told = str(errors[0])
    else:
        named = "; ".join(str(error).removeprefix("cannot read image ") for error in errors[:MOST_NAMED])
        more = f"; and {len(errors) - MOST_NAMED} more" if len(errors) > MOST_NAMED else ""
        told = f"cannot read {len(errors)} of {total} images: {named}{more}"
    return DataError(told if len(errors) == total else f"{told}; {WAY_OUT}")


def decode_all(items: Sequence[In], work: Callable[[In], Out]) -> Iterator[Out]:
    """``work``, which reads an image file, over items; in order; at the end one DataError naming all that could not be
    read."""
    errors = []
    for result in attempt(work, items):
        if isinstance(result, DataError):
            errors.append(result)
        elif not errors:
            yield result
    if errors:
        raise unreadable(errors, len(items))


class _guard:  # noqa: N801  (used like a function)
    """Whatever a decoder raises on damaged bytes becomes one line that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):  # decoders raise almost anything: OSError, SyntaxError, struct.error, ...
            raise DataError(f"cannot read image '{self.path}': {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        from PIL import Image, UnidentifiedImageError

        if isinstance(error, FileNotFoundError):
            return "no such file"
        if self.path.is_file() and self.path.stat().st_size == 0:
            return "the file is empty"
        if isinstance(error, UnidentifiedImageError):
            return "not an image in a known format"
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            return f"more than {Image.MAX_IMAGE_PIXELS} pixels, it could be a decompression bomb"
        return " ".join(str(error).split()) or type(error).__name__


def _open(path: Path) -> Image.Image:
    from PIL import Image

    image = Image.open(path)
    # PIL itself only warns up to twice its limit (and a filter on warnings is not safe among threads)
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise Image.DecompressionBombError
    return image


def image_files(paths: Iterable[Path]) -> list[Path]:
    """Those with the suffix of an image."""
    return [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
