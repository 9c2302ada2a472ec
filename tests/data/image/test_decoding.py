"""Every kind of image file comes out right way up, in the channels wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.data.image.decoding import decode, header
from lamina.data.image.resizing import resize
from lamina.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def saved(folder: Path, image: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    path = folder / f"image{suffix}"
    image.save(path, **options)
    return path


def pixels(path: Path, channels: int, **options: Any) -> np.ndarray[Any, Any]:
    found = decode(path, channels, **options)
    assert found.shape[0] == channels
    return found.permute(1, 2, 0).numpy()


def test_colour_and_grey_turn_into_each_other(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB))
    assert header(path).channels == 3
    assert np.array_equal(pixels(path, 3), RGB)
    assert np.array_equal(pixels(path, 1)[:, :, 0], np.array(Image.fromarray(RGB).convert("L")))
    path = saved(tmp_path, Image.fromarray(GREY), ".bmp")
    assert header(path).channels == 1
    assert np.array_equal(pixels(path, 3), np.repeat(GREY[:, :, None], 3, axis=2))


def test_sixteen_bits_are_kept_or_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)
    path = saved(tmp_path, Image.fromarray(deep))
    assert header(path).deep
    assert header(path).channels == 1
    kept = decode(path, 1, deep=True)
    assert kept.dtype == torch.uint16
    assert np.array_equal(kept[0].numpy(), deep)
    assert np.array_equal(pixels(path, 1)[:, :, 0], np.rint(deep / 257).astype(np.uint8))
    assert np.array_equal(pixels(path, 3)[:, :, 2], np.rint(deep / 257).astype(np.uint8))
    shallow = saved(tmp_path, Image.fromarray(GREY), ".bmp")
    assert np.array_equal(decode(shallow, 1, deep=True)[0].numpy(), GREY.astype(np.uint16) * 257)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.full((5, 7, 1), 255, dtype=np.uint8)
    alpha[0, 0] = 0  # what colour hides beneath is nobody's
    path = saved(tmp_path, Image.fromarray(np.concatenate([RGB, alpha], 2)))
    expected = RGB.copy()
    expected[0, 0] = 255
    assert header(path).channels == 3
    assert np.array_equal(pixels(path, 3), expected)
    grey = saved(tmp_path, Image.fromarray(np.concatenate([GREY[:, :, None], alpha], 2), mode="LA"), ".tif")
    assert header(grey).channels == 1
    assert pixels(grey, 1)[0, 0, 0] == 255
    assert np.array_equal(pixels(grey, 1)[1:, :, 0], GREY[1:])


def test_palettes_and_cmyk_become_colour(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(200)
    path = saved(tmp_path, palette)
    assert header(path).channels == 3
    assert np.array_equal(pixels(path, 3), np.array(palette.convert("RGB")))
    cmyk = Image.fromarray(RGB).convert("CMYK")
    path = saved(tmp_path, cmyk, ".tif")
    assert np.abs(pixels(path, 3).astype(int) - RGB).max() <= 1
    bits = saved(tmp_path, Image.fromarray(GREY > 99), ".png")
    assert np.array_equal(pixels(bits, 1)[:, :, 0], (GREY > 99) * np.uint8(255))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_turns_the_image(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), ".tif", exif=exif)
    turned = {3: np.rot90(RGB, 2), 6: np.rot90(RGB, -1), 8: np.rot90(RGB)}[orientation]
    assert np.array_equal(pixels(path, 3), turned)
    assert (header(path).height, header(path).width) == turned.shape[:2]
    for suffix in (".jpg", ".webp", ".png"):
        path = saved(tmp_path, Image.fromarray(RGB), suffix, exif=exif)
        assert decode(path, 3).shape[1:] == turned.shape[:2]
        if suffix != ".png":
            assert (header(path).height, header(path).width) == turned.shape[:2]


def test_a_large_jpeg_is_shrunk_while_it_is_decoded(tmp_path: Path) -> None:
    y, x = np.mgrid[0:600, 0:800]
    photo = np.stack([x / 800, y / 600, 0.5 + 0.4 * np.sin(x / 40) * np.cos(y / 30)], 2) * 255
    path = saved(tmp_path, Image.fromarray(photo.astype(np.uint8)), ".jpg", quality=95)
    assert decode(path, 3).shape == decode(path, 3, min_size=160).shape == (3, 600, 800)
    assert decode(path, 3, min_size=150).shape == (3, 300, 400)  # never less than twice what is wanted
    assert decode(path, 3, min_size=30).shape == (3, 75, 100)
    whole = resize(decode(path, 3)[None], (30, 30), "stretch").int()
    for least in (30, 60):
        shrunk = resize(decode(path, 3, min_size=least)[None], (30, 30), "stretch").int()
        assert (shrunk - whole).abs().max() <= 4
    same = saved(tmp_path, Image.fromarray(photo.astype(np.uint8)), ".png")
    assert decode(same, 3, min_size=30).shape == (3, 600, 800)


def test_what_eight_bits_cannot_hold(tmp_path: Path, refused: Any) -> None:
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32)), ".tif")
    with refused(DataError, str(path), "floating-point", ".npz"):
        decode(path, 1)
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.int32) * 100_000), ".tiff")
    with refused(DataError, str(path), "0 to 65535"):
        decode(path, 1)
    with refused(DataError, "no such file"):
        decode(tmp_path / "gone.png", 1)
