"""Pictures that come in a request: encoded files, or arrays of numbers."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamina.data.image.decoding import EncodedImage, header
from lamina.data.requests import LimitError, RequestFormat, RequestLimits
from lamina.errors import DataError, UsageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""what is opened: PIL would run other programs for some formats"""
EXPECTED = "an item must be a picture as base64 (PNG, JPEG, WebP, GIF, BMP, TIFF), or an array of numbers as lists"


def schema(preprocess: Any) -> Mapping[str, Any]:
    text = {"type": "string", "contentEncoding": "base64", "description": "an encoded picture: PNG, JPEG, WebP, ..."}
    numbers = {"type": "array", "description": "an array (H, W) or (H, W, C)", "items": {"type": "array"}}
    return {"anyOf": [text, numbers]}


def item(value: Any, preprocess: Any, limits: RequestLimits) -> Any:
    """A picture as base64, or a data address of one; an array as nested lists."""
    if isinstance(value, str):
        text = value.partition(",")[2] if value.startswith("data:") else value
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise UsageError(f"{EXPECTED}; this is no base64") from None
        return picture(content, limits)
    if not isinstance(value, list):
        raise UsageError(EXPECTED)
    return array(value, limits)


def array(value: list[Any], limits: RequestLimits) -> Any:
    """An array of numbers, (H, W) or (H, W, C)."""
    try:
        found = np.array(value)
    except ValueError:
        raise UsageError("the lists of an array must be of one length") from None
    if found.dtype.kind not in "iuf" or found.ndim not in (2, 3) or not found.size:
        raise UsageError("an array of a picture has numbers, two or three axes, and no empty list")
    limits.check_pixels(*sorted(found.shape)[-2:])
    if found.dtype.kind in "iu":
        if found.min() < 0 or found.max() > 65535:
            raise UsageError("whole numbers of a picture lie between 0 and 255, or 65535")
        return found.astype(np.uint8 if found.max() < 256 else np.uint16)
    return found


def picture(content: bytes, limits: RequestLimits) -> EncodedImage:
    """An encoded picture whose header says that it is small enough. Raises DataError for something else."""
    from PIL import Image

    name = "picture"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            width, height = opened.size
    except Image.DecompressionBombError as error:
        raise LimitError(f"a picture of too many pixels (--max-pixels): {error}") from None
    except Exception:  # decoders raise almost anything
        raise DataError(f"cannot read the picture of the request: not one of {', '.join(FORMATS)}") from None
    limits.check_pixels(height, width)
    found = EncodedImage(name, content, "")
    header(found)
    return found


def upload(content: bytes, folder: Path, preprocess: Any, limits: RequestLimits) -> Sequence[Any]:
    return [picture(content, limits)]


REQUESTS = RequestFormat(schema=schema, item=item, media=("image/*",), upload=upload)
