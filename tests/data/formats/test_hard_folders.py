"""Folders as they are found: many files of every kind, one of them unreadable, or a bomb."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.image.samples import ImageFiles
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.streams import Shuffled
from lamina.errors import DataError


def test_ten_thousand_files_one_of_them_unreadable(image_folder: Any, refused: Any) -> None:
    root = image_folder({"a": 1, "b": 1}, size=(4, 4))
    data = (root / "a" / "0.png").read_bytes()
    for label in ("a", "b"):
        for i in range(5000):
            (root / label / f"{i}.png").write_bytes(data)
    bad = root / "b" / "3217.png"
    bad.write_bytes(data[:40])
    with refused(DataError, f"cannot read image '{bad}'"):
        source = open_source(str(root))
        fit_preprocess(source)  # a header can be sound where the pixels are not
    source = open_source(str(root), options=DataOptions(skip_bad=True))
    assert source.spec.skipped == ("b/3217.png",)
    assert sum(source.spec.sizes.values()) == 9999


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_sound_png_of_fifty_thousand_pixels_a_side_is_refused_by_its_size(image_folder: Any, refused: Any) -> None:
    """300 kB on the disk, 312 MB as bits, 7.5 GB as colours."""
    root = image_folder({"a": 5, "b": 5})
    row, packer = bytes(1 + 50_000 // 8), zlib.compressobj(1)
    packed = b"".join([*(packer.compress(row * 500) for _ in range(100)), packer.flush()])
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    bomb = root / "b" / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    assert bomb.stat().st_size < 2_000_000
    with refused(DataError, str(bomb), "pixels", "decompression bomb"):
        open_source(str(root))
    assert open_source(str(root), options=DataOptions(skip_bad=True)).spec.skipped == ("b/bomb.png",)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """One colour, in every form that a folder has it in: the left half of each picture is dark."""
    root = tmp_path / "mixed"
    grey = np.full((40, 60), 200, dtype=np.uint8)
    grey[:, :30] = 40
    rgb = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        "grey.png": Image.fromarray(grey),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "rgb.png": rgb,
        "rgba.png": rgb.convert("RGBA"),
        "cmyk.jpg": rgb.convert("CMYK"),
        "palette.gif": rgb.quantize(16),
    }
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for name, picture in pictures.items():
            picture.save(root / label / name)
        rgb.transpose(Image.Transpose.ROTATE_90).save(root / label / "turned.jpg", exif=turned, quality=95)
    return root


def test_a_folder_of_every_kind_gives_the_same_picture(mixed: Path) -> None:
    source = open_source(str(mixed), options=DataOptions(validation=0, test=0))
    assert source.spec.sizes == {"train": 14}
    preprocess = fit_preprocess(source, Needs(channels=3, size=(8, 12)))
    split = source.splits["train"]
    assert isinstance(preprocess, ImagePreprocess)
    assert isinstance(split, ImageFiles)
    full = preprocess.value_range[1]
    batches = {}
    for hold in (True, False):
        stream = Shuffled(preprocess.encode(split, hold=hold), 14, 0, prepare=preprocess.prepare)
        (batches[hold],) = stream.batches(0)
    assert torch.equal(batches[True]["image"], batches[False]["image"])
    for path in split.paths:
        image = preprocess.load_file(path).double() / full * 255
        assert image.shape == (3, 8, 12)
        for half, value in ((slice(0, 5), 40), (slice(7, 12), 200)):
            assert (image[:, :, half] - value).abs().max() < 4, path.name
