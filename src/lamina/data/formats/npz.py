"""Arrays in an .npz file: images and labels, or features and labels."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lamina.data.formats.arrays import Array, arrays_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.errors import DataError, UsageError

INPUTS = ("images", "image", "x", "features", "data")
LABELS = ("labels", "label", "y", "targets", "target")


def open_npz(name: str, path: Path, options: DataOptions) -> Source:
    """A source from arrays named ``images`` or ``x`` and ``labels`` or ``y``, alone or with a split's name
    (``x_train``, ``train_images``): images (N, H, W), NHWC or NCHW, or features (N, F); labels (N,) or (N, K),
    or none.

    Raises DataError, naming file and array, for pickled objects (never loaded), damage and different lengths.
    """
    arrays = _load(path, options.max_extracted_bytes)
    pairs = _pairs(arrays, name)
    hint = f"{name}: add an array called labels (or y), or y_train, y_test, for targets"
    return arrays_source(name, pairs, options, hint=hint)


def _load(path: Path, max_bytes: int) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
        if inflated > max_bytes:
            raise DataError(f"'{path}' would inflate to {inflated} bytes, more than the {max_bytes} allowed")
        with np.load(path, allow_pickle=False) as file:
            arrays = {}
            for key in file.files:
                try:
                    arrays[key] = file[key]
                except ValueError as error:
                    reason = " ".join(str(error).split())
                    raise DataError(f"'{path}': array '{key}' cannot be read: {reason}") from error
            return arrays
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read '{path}': {' '.join(str(error).split())}") from error


def _pairs(arrays: Mapping[str, Array], name: str) -> dict[str, tuple[Array, Array | None]]:
    inputs: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for key, array in arrays.items():
        folded = key.casefold()
        parts = folded.split("_")
        word, split = folded, "train"
        if len(parts) == 2 and (parts[0] in SPLIT_NAMES or parts[1] in SPLIT_NAMES):
            first = parts[0] in SPLIT_NAMES
            word, split = (parts[1], SPLIT_NAMES[parts[0]]) if first else (parts[0], SPLIT_NAMES[parts[1]])
        for words, found in ((INPUTS, inputs), (LABELS, labels)):
            if word in words:
                if split in found:
                    raise UsageError(f"{name}: '{key}' and another array are both {words[0]} of {split}")
                if array.ndim == 0:
                    raise DataError(f"{name}: array '{key}' is a single value")
                found[split] = array
    if "train" not in inputs or (labels and set(inputs) != set(labels)):
        raise UsageError(
            f"{name}: expected arrays images (or x) and labels (or y), or x_train, y_train, x_test, y_test; "
            f"found {', '.join(arrays) or 'none'}"
        )
    return {split: (inputs[split], labels.get(split)) for split in ORDER if split in inputs}
