"""The idx format of MNIST: a magic number, big-endian sizes, bytes. LeCun, Cortes, Burges, "The MNIST database"."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch

from lamina.data.image.arrays import image_arrays_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import SPLIT_NAMES
from lamina.data.targets.labels import class_labels
from lamina.errors import DataError, UsageError

IMAGES = re.compile(r"(?P<name>.*?)[-_.]images[-.]idx3[-.]ubyte(?P<gz>\.gz)?", re.IGNORECASE)


def idx_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Image and label files of a folder by split; empty if there are none. Raises UsageError for missing labels."""
    pairs: dict[str, tuple[Path, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = IMAGES.fullmatch(path.name)
        if match is None:
            continue
        name = re.split(r"[-_.]", match["name"])[-1].casefold()
        split = "test" if name == "t10k" else SPLIT_NAMES.get(name)
        if split is None:
            raise UsageError(f"'{path}': the name contains no split (train, t10k, validation, test)")
        stem = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
        found = [folder / spelling for spelling in (stem, stem + ".gz") if (folder / spelling).is_file()]
        if not found:
            raise UsageError(f"'{path}' has no labels: there is no file '{stem}' or '{stem}.gz'")
        if split in pairs and pairs[split][0].name.removesuffix(".gz") != path.name.removesuffix(".gz"):
            raise UsageError(
                f"'{folder}' holds several sets: '{pairs[split][0].name}' and '{path.name}' are both {split}"
            )
        pairs.setdefault(split, (path, found[0]))
    return pairs


def open_idx(name: str, pairs: Mapping[str, tuple[Path, Path]], options: DataOptions) -> Source:
    """Pairs of idx files as a source; classes are the label values. Raises DataError naming the file."""
    if "train" not in pairs:
        raise UsageError(f"{name}: there are {' and '.join(pairs)} files in idx format, but none of train")
    images, labels = {}, []
    for split, (image_path, label_path) in pairs.items():
        pixels, values = read_idx(image_path, 3), read_idx(label_path, 1)
        if len(pixels) != len(values):
            raise DataError(f"'{image_path}' has {len(pixels)} images, '{label_path}' {len(values)} labels")
        images[split] = torch.from_numpy(pixels[:, None])
        labels.append(values)
    found, indices = np.unique(np.concatenate(labels), return_inverse=True)
    labelled = class_labels(indices, [str(value) for value in found], name, options)
    return image_arrays_source(name, images, labelled, options)


def read_idx(path: Path, axes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array of an idx file of unsigned bytes with ``axes`` axes, plain or gzipped. Raises DataError."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with cast("IO[bytes]", opener(path, "rb")) as file:
            head = file.read(4 + 4 * axes)
            if len(head) < 4 + 4 * axes or head[:4] != bytes((0, 0, 8, axes)):
                raise DataError(f"'{path}' is not an idx file of unsigned bytes with {axes} axes")
            shape = struct.unpack(f">{axes}I", head[4:])
            size = math.prod(shape)
            if size == 0:
                raise DataError(f"'{path}' is empty: its shape is {shape}")
            # deflate compresses by at most 1032: a larger size is false, detected before memory is allocated
            if size > path.stat().st_size * 1032:
                raise DataError(f"'{path}' is truncated: its header states {size} bytes")
            array = np.empty(shape, dtype=np.uint8)
            target, filled = array.data.cast("B"), 0
            while filled < size and (got := cast(Any, file).readinto(target[filled:])):
                filled += got
            if filled < size or file.read(1):
                state = "truncated" if filled < size else "too long"
                raise DataError(f"'{path}' is {state}: its header states {size} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error
    return array
