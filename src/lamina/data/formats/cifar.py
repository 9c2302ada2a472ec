"""CIFAR-10 in its two formats: binary records and Python batches. Krizhevsky, "Learning multiple layers ...", 2009."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.data.formats.safe_pickle import load_pickle
from lamina.data.image.arrays import image_arrays_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.targets.labels import class_labels
from lamina.errors import DataError

VALUES = 3 * 32 * 32
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def cifar_batches(folder: Path) -> dict[str, list[Path]]:
    """The batches of a folder by split, preferring binary ones; empty if there are none."""
    for suffix in (".bin", ""):
        train = [path for path in folder.glob(f"data_batch_*{suffix}") if re.fullmatch(r"data_batch_\d+", path.stem)]
        if not train:
            continue
        ordered = sorted((path for path in train if path.suffix == suffix), key=lambda path: int(path.stem[11:]))
        test = folder / f"test_batch{suffix}"
        return {"train": ordered} | ({"test": [test]} if test.is_file() else {})
    return {}


def open_cifar(name: str, batches: Mapping[str, list[Path]], options: DataOptions) -> Source:
    """CIFAR-10 batches as a source. Raises DataError, naming the file, for wrong sizes, wrong labels and unsafe
    pickles."""
    images, labels = {}, []
    for split, paths in batches.items():
        parts = [_binary(path) if path.suffix == ".bin" else _pickled(path) for path in paths]
        images[split] = torch.from_numpy(np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32))
        labels += [targets for _, targets in parts]
    indices = np.concatenate(labels)
    classes = _class_names(batches["train"][0].parent) or [str(k) for k in range(int(indices.max()) + 1)]
    if indices.max() >= len(classes):
        raise DataError(f"{name}: label {int(indices.max())} has no name: there are {len(classes)} classes")
    return image_arrays_source(name, images, class_labels(indices, classes, name, options), options)


def _binary(path: Path) -> tuple[Pixels, Pixels]:
    raw = np.fromfile(path, dtype=np.uint8)
    if not len(raw) or len(raw) % (VALUES + 1):
        raise DataError(f"'{path}' has {len(raw)} bytes: CIFAR-10 records have {VALUES + 1} bytes each")
    records = raw.reshape(-1, VALUES + 1)
    return records[:, 1:], _labels(path, records[:, 0])


def _pickled(path: Path) -> tuple[Pixels, Pixels]:
    batch = _with_text_keys(path)
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != VALUES:
        raise DataError(f"'{path}' has no 'data' of shape (N, {VALUES}) and type uint8")
    if not isinstance(labels, list) or len(labels) != len(pixels) or not all(isinstance(k, int) for k in labels):
        raise DataError(f"'{path}' has no list 'labels' of {len(pixels)} integers")
    return pixels, _labels(path, np.asarray(labels, dtype=np.int64))


def _labels(path: Path, labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    wrong = (labels < 0) | (labels > 9)
    if wrong.any():
        raise DataError(f"'{path}': image {int(wrong.argmax()) + 1} has label {int(labels[wrong][0])}, expected 0 to 9")
    return labels


def _class_names(folder: Path) -> list[str]:
    text, pickled = folder / "batches.meta.txt", folder / "batches.meta"
    if text.is_file():
        return text.read_text(encoding="utf-8").split()
    if pickled.is_file():
        names = _with_text_keys(pickled).get("label_names")
        if isinstance(names, list):
            return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    return []


def _with_text_keys(path: Path) -> dict[str, Any]:
    loaded = load_pickle(path)
    if not isinstance(loaded, dict):
        raise DataError(f"'{path}' is not a CIFAR-10 batch: it holds no dictionary")
    return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in loaded.items()}
