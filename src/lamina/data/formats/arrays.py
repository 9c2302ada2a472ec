"""Arrays as sources: features (N, F) or images (N, H, W), NHWC or NCHW, with labels or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.data.image.arrays import image_arrays_source, stored
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.table.source import table_source
from lamina.data.targets.labels import Labels, class_labels, encode_targets, unlabelled
from lamina.errors import DataError, UsageError

Array = np.ndarray[Any, Any]


def arrays_source(
    name: str,
    pairs: Mapping[str, tuple[Array, Array | None]],
    options: DataOptions,
    *,
    hint: str,
    classes: Sequence[str] = (),
) -> Source:
    """A source from inputs and labels of each split: inputs (N, F) are the columns x0, x1, ... of a table, (N, H, W),
    NHWC and NCHW images; labels (N,) or (N, K), or none, with a ``hint`` how to provide them.

    Raises DataError for arrays of different lengths or shapes, and for a missing label.
    """
    labels = array_labels(name, pairs, options, hint=hint, classes=classes)
    sizes = {split: len(x) for split, (x, _) in pairs.items()}
    inputs = {split: x for split, (x, _) in pairs.items()}
    if all(x.ndim == 2 for x in inputs.values()):
        return table_source(name, _features(name, inputs), sizes, labels, _place(name), options)
    images = {split: stored(x, f"{name}: images of {split}", layout=options.layout) for split, x in inputs.items()}
    return image_arrays_source(name, images, labels, options)


def _features(name: str, inputs: Mapping[str, Array]) -> Any:
    import pandas as pd

    _expect_equal_width(name, "features", inputs)
    whole = np.concatenate(list(inputs.values()))
    return pd.DataFrame(whole, columns=[f"x{k}" for k in range(whole.shape[1])])


def array_labels(
    name: str,
    pairs: Mapping[str, tuple[Sequence[Any] | Array, Array | None]],
    options: DataOptions,
    *,
    hint: str,
    classes: Sequence[str] = (),
) -> Labels:
    """The labels (N,) or (N, K) of all splits, beside the inputs that they belong to; ``classes`` are names of classes
    that are numbered from 0."""
    import pandas as pd

    if options.targets:
        raise UsageError(f"{name} has no columns to choose a target from, got target '{options.targets[0]}'")
    for split, (x, y) in pairs.items():
        if y is not None and len(x) != len(y):
            raise DataError(f"{name}: {split} has {len(x)} inputs and {len(y)} labels")
    parts = {split: y.reshape(len(y), -1) for split, (_, y) in pairs.items() if y is not None}
    if not parts:
        return unlabelled(hint)
    _expect_equal_width(name, "labels", parts)
    values = np.concatenate(list(parts.values()))
    columns = ["label"] if values.shape[1] == 1 else [f"label{k}" for k in range(values.shape[1])]
    frame = pd.DataFrame(values, columns=columns)
    missing = frame.isna().any(axis=1).to_numpy()
    if missing.any():
        raise DataError(f"{_place(name)(int(missing.argmax()))}: the label is missing or not a number")
    numbered = len(columns) == 1 and values.dtype.kind in "iu"
    if classes and numbered and values.min() >= 0 and values.max() < len(classes):
        return class_labels(values[:, 0], classes, name, options)
    return encode_targets(frame, options, _place(name))


def _expect_equal_width(name: str, what: str, parts: Mapping[str, Array]) -> None:
    train = parts["train"].shape[1]
    for split, part in parts.items():
        if part.shape[1] != train:
            raise DataError(f"{name}: {split} has {part.shape[1]} {what} for each sample, but train {train}")


def _place(name: str) -> Any:
    return lambda row: f"{name}, sample {row + 1}"
