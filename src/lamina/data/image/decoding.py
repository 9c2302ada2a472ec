"""Decoding of image files to tensors."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from lamina.data.tabular.stored import StoredBytes
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
MAX_NAMED = 10
"""maximum number of files named in one message"""
SKIP_HINT = "skip_bad (--skip-bad) skips unreadable files"
THREADS = min(4, os.cpu_count() or 1)
"""decoder threads: PIL decodes without Python's lock, so one for each processor is useful"""
CHUNK = 16
"""files passed to a thread at once, to reduce overhead"""
CHUNKS_AHEAD = 16
"""chunks in progress at once"""

In = TypeVar("In")
Out = TypeVar("Out")
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""modes of PIL images that a PNG holds as they are"""


@dataclass(frozen=True)
class EncodedImage:
    """An image in memory, encoded as in a file.

    Example: ``encoded(Image.open("cat.png"), "picture 1")``
    """

    name: str
    content: bytes
    digest: str
    """hash of what was given: of the pixels, whatever encoded them, or of a file's content"""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ShardMember:
    """An image inside a tar shard, read where it lies."""

    shard: Path
    name: str
    """of the member"""
    offset: int
    """of its first byte in the shard"""
    size: int
    label: str | None = None

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"

    def read(self) -> bytes:
        """Its bytes. Raises OSError for a shard that is gone or cut off."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError(f"the shard is cut off {self.size - len(content):,} bytes before the end of this image")
        return content


ImageFile = Path | EncodedImage | ShardMember | StoredBytes
"""what ``header`` and ``decode`` read"""
MISSING = {ShardMember: "its shard is missing", StoredBytes: "its file is missing"}


@dataclass(frozen=True)
class Header:
    """The properties of an image file, read without its pixels."""

    channels: int
    """1 or 3; palettes and CMYK become RGB, transparency a white background"""
    height: int
    width: int
    deep: bool
    """more than 8 bits per value"""


def header(path: ImageFile) -> Header:
    """The header of an image file, rotated by its EXIF tag. Raises DataError naming the file."""
    with _guard(path), _open(path) as image:
        channels = 1 if image.mode in ("1", "L", "LA", "La", "F", "I") or image.mode.startswith("I;16") else 3
        # PIL returns a TIFF's size rotated; reading the tag of a PNG would decode it (it is applied on decoding)
        turned = image.format in ("JPEG", "MPO", "WEBP") and image.getexif().get(0x0112) in (5, 6, 7, 8)
        width, height = (image.height, image.width) if turned else (image.width, image.height)
        return Header(channels, height, width, image.mode == "I" or image.mode.startswith("I;16"))


def decode(path: ImageFile, channels: int, *, deep: bool = False, min_size: int | None = None) -> Tensor:
    """An image file as (C, H, W): uint8, or uint16 if ``deep``. Raises DataError naming the file.

    With ``min_size`` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as both sides have at least twice
    ``min_size`` pixels: faster, with less memory, and nearly the same image after resizing.

    Example: ``decode(Path("cat.jpg"), 3, min_size=224)``
    """
    with _guard(path), _open(path) as image:
        if min_size is not None:
            image.draft(None, (2 * min_size, 2 * min_size))  # has an effect on JPEG only
        return to_tensor(image, channels, deep=deep)


def to_tensor(image: Image.Image, channels: int, *, deep: bool = False) -> Tensor:
    """A PIL image (or the first frame) as (C, H, W) with 1 (grey) or 3 (RGB) channels: uint8, or uint16 if ``deep``.

    The EXIF orientation is applied, transparency becomes white, 16-bit grey is kept (``deep``) or divided by 257 to 8
    bits (8 bits are multiplied by 257 to 16). Grey is PIL's luma, (19595 R + 38470 G + 7471 B) / 2^16.
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
    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    # by planes: a third of the time of transposing an array of pixels
    planes = bytearray().join(band.tobytes() for band in image.split())
    out_CHW = np.frombuffer(planes, dtype=np.uint8).reshape(channels, image.height, image.width)
    return torch.from_numpy(out_CHW.astype(np.uint16) * np.uint16(257) if deep else out_CHW)


def encoded(picture: Image.Image, name: str) -> EncodedImage:
    """A PIL image (or its first frame) as a PNG in memory, without loss; its EXIF orientation is applied.

    Raises DataError for floating-point values, and for integers that 16 bits cannot hold.
    """
    from PIL import Image, ImageOps

    if picture.getexif().get(0x0112, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode not in PNG_MODES:
        if picture.mode == "F":
            raise DataError(f"{name} holds floating-point values; give an array")
        picture = picture.convert("RGBA" if picture.mode in ("RGBa", "La") else "RGB")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{name} holds values outside 0 to 65535; give an array")
        picture = Image.fromarray(values.astype(np.uint16))
    digest = hashlib.blake2b(
        f"{picture.mode} {picture.size} {picture.info.get('transparency')}".encode(), digest_size=16
    )
    digest.update(repr(picture.getpalette()).encode())
    digest.update(picture.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return EncodedImage(name, file.getvalue(), digest.hexdigest())


def attempt(work: Callable[[In], Out], items: Sequence[In], threads: int = THREADS) -> Iterator[Out | DataError]:
    """``work`` over all items on several threads, in order; a failed item yields its DataError instead of a result."""

    def work_on(part: Sequence[In]) -> list[Out | DataError]:
        results: list[Out | DataError] = []
        for item in part:
            try:
                results.append(work(item))
            except DataError as error:
                results.append(error)
        return results

    parts = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(parts), CHUNKS_AHEAD):  # so that results do not accumulate ahead of the consumer
            for results in pool.map(work_on, parts[start : start + CHUNKS_AHEAD]):
                yield from results


def unreadable(errors: Sequence[DataError], total: int) -> DataError:
    """One error for the unreadable files among ``total``, with a hint if others are readable."""
    if len(errors) == 1:
        message = str(errors[0])
    else:
        named = "; ".join(str(error).removeprefix("cannot read image ") for error in errors[:MAX_NAMED])
        more = f"; and {len(errors) - MAX_NAMED} more" if len(errors) > MAX_NAMED else ""
        message = f"cannot read {len(errors)} of {total} images: {named}{more}"
    return DataError(message if len(errors) == total else f"{message}; {SKIP_HINT}")


def decode_all(items: Sequence[In], work: Callable[[In], Out]) -> Iterator[Out]:
    """``work``, which reads an image file, over all items, in order. Raises one DataError for all unreadable files at
    the end."""
    errors = []
    for result in attempt(work, items):
        if isinstance(result, DataError):
            errors.append(result)
        elif not errors:
            yield result
    if errors:
        raise unreadable(errors, len(items))


class _guard:  # noqa: N801  (used like a function)
    """Converts any exception of a decoder to a one-line DataError that names the file."""

    def __init__(self, path: ImageFile) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):  # decoders raise almost anything: OSError, SyntaxError, struct.error, ...
            raise DataError(f"cannot read image '{self.path}': {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        from PIL import Image, UnidentifiedImageError

        if isinstance(error, FileNotFoundError):
            return MISSING.get(type(self.path), "no such file")
        if size_of(self.path) == 0:
            return "the file is empty"
        if isinstance(error, UnidentifiedImageError):
            return "not an image in a known format"
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            return f"more than {Image.MAX_IMAGE_PIXELS} pixels, possibly a decompression bomb"
        return " ".join(str(error).split()) or type(error).__name__


def _open(path: ImageFile) -> Image.Image:
    from PIL import Image

    image = Image.open(path if isinstance(path, Path) else io.BytesIO(content_of(path)))
    # PIL only warns up to twice its limit (and warning filters are not thread-safe)
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise Image.DecompressionBombError
    return image


def size_of(path: ImageFile) -> int:
    """The size in bytes, of stored bytes the mean of their row group; -1 for a file that does not exist."""
    if isinstance(path, ShardMember | StoredBytes):
        return path.size
    if isinstance(path, EncodedImage):
        return len(path.content)
    return path.stat().st_size if path.is_file() else -1


def content_of(path: ImageFile) -> bytes:
    """The encoded image."""
    if isinstance(path, EncodedImage):
        return path.content
    return path.read() if isinstance(path, ShardMember | StoredBytes) else path.read_bytes()


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The paths with an image suffix."""
    return [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
