"""Data sets of the Hugging Face hub, ``hf:<dataset>@<revision>``, through the ``datasets`` library."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lamina.data.formats.archives import cache_root, fill
from lamina.data.image.decoding import EncodedImage
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.table.source import table_source
from lamina.data.tabular.columns import Place
from lamina.data.tabular.rows import Rows, divided
from lamina.data.targets.labels import PREDICTED, Labels, class_labels, encode_targets, target_columns, unlabelled
from lamina.data.text.sources import empty_texts, texts_source
from lamina.data.text.tables import TRANSLATION, pair_table, running_column, running_table, text_column
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SPELLING = re.compile(r"hf:(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(:(?P<config>[\w.-]+))?@(?P<revision>[\w./-]+)")
UNLABELLED = -1
"""the hub's class index of a row without a class"""
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp", b"II": ".tif"}


def open_hub(data: str, options: DataOptions) -> Source:
    """A data set of the hub at a fixed revision; ``hf:<dataset>:<config>@<revision>`` for one with several
    configurations.

    A column of images makes it an image source (files are written to the cache), free text besides the target a text
    source, a column called translation pairs, a single text column running text; any other data set is a table. The
    target is the requested one, or the only column of classes, or one with a usual name. Needs the ``datasets`` library
    (the extra "hub") and, on first use, a network; code from the hub is never run. Raises UsageError.

    Example: ``open_hub("hf:mnist@main", DataOptions())``
    """
    match = SPELLING.fullmatch(data)
    if match is None:
        raise UsageError(f"'{data}' is not a hub data set: write hf:<dataset>@<revision> (a branch, a tag or a commit)")
    try:
        hub = importlib.import_module("datasets")
    except ImportError as error:
        raise UsageError(f"'{data}' needs the datasets library: pip install lamina[hub]") from error
    if Path(match["name"]).exists():
        raise UsageError(f"'{data}': the datasets library would read the local '{match['name']}' instead of the hub's")
    # before version 4 an environment variable could allow code from the hub to run
    safe = {"trust_remote_code": False} if int(hub.__version__.split(".")[0]) < 4 else {}
    try:
        loaded = hub.load_dataset(match["name"], match["config"], revision=match["revision"], **safe)
    except Exception as error:  # the network, the hub and the library raise many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"cannot load '{data}': {reason}") from error
    parts = {SPLIT_NAMES[name.casefold()]: part for name, part in loaded.items() if name.casefold() in SPLIT_NAMES}
    if "train" not in parts:
        raise UsageError(f"'{data}' has no train split, only {', '.join(loaded)}")
    parts = {split: parts[split] for split in ORDER if split in parts}
    return dataset_source(hub, data, parts, options, cache=match["name"].replace("/", "--"))


def dataset_source(
    hub: Any, data: str, parts: Mapping[str, Any], options: DataOptions, *, cache: str | None = None
) -> Source:
    """A data set of the datasets library (the module ``hub``) by split; ``data`` is its name in messages. Images are
    written to the cache in a folder called ``cache``, or kept in memory.
    """
    features: Mapping[str, Any] = parts["train"].features
    image_columns = [name for name, feature in features.items() if isinstance(feature, hub.Image)]
    if not image_columns and (source := _unlabelled_text(data, parts, options)) is not None:
        return source
    found = _targets(hub, features, [name for name in features if name not in image_columns], options, data)
    targets = () if isinstance(found, str) else found
    if isinstance(found, str):
        return _source(hub, cache, data, parts, image_columns, targets, unlabelled(found), options)
    blank = tuple(split for split, part in parts.items() if split != "train" and _unlabelled(hub, part, targets))
    parts = {split: part for split, part in parts.items() if split not in blank}
    labels = _labels(hub, features, parts, targets, options, data)
    source = _source(hub, cache, data, parts, image_columns, targets, labels, options)
    skipped = (*(f"{split}: no labels" for split in blank), *source.spec.skipped)
    return replace(source, spec=replace(source.spec, skipped=skipped))


def _source(
    hub: Any,
    cache: str | None,
    data: str,
    parts: Mapping[str, Any],
    image_columns: list[str],
    targets: tuple[str, ...],
    labels: Labels,
    options: DataOptions,
) -> Source:
    if not image_columns:
        features = parts["train"].features
        inputs = _frame(parts, [name for name in features if name not in targets and name not in options.drop])
        rows = Rows(inputs, _sizes(parts), _place(data))
        texts = text_column(inputs, [str(column) for column in inputs.columns], options)
        if texts is None:
            return table_source(data, inputs, rows.sizes, labels, rows.place, options)
        empty = empty_texts(inputs[texts].tolist(), rows.place, options)
        rows, labels = rows.without(empty), replace(labels, values=labels.take(torch.from_numpy(~empty)))
        return texts_source(data, rows.frame[texts].tolist(), rows.sizes, labels, options)

    selected = {split: part.select_columns([image_columns[0]]) for split, part in parts.items()}
    raw = {split: part.cast_column(image_columns[0], hub.Image(decode=False)) for split, part in selected.items()}
    images = {split: (row[image_columns[0]] for row in part) for split, part in raw.items()}
    if cache is None:
        kept = {
            split: [_kept(image, f"{split} image {k}") for k, image in enumerate(images[split], 1)] for split in raw
        }
        return image_files_source(data, Path(), kept, labels, options)
    # a branch moves, so the fingerprint of the contents is part of the key
    key_parts = [data, image_columns[0], *(str(getattr(part, "_fingerprint", len(part))) for part in raw.values())]
    key = hashlib.blake2b(json.dumps(key_parts).encode(), digest_size=8).hexdigest()
    folder = fill(cache_root() / "hub" / f"{cache}-{key}", lambda place: _write(images, place))
    paths = {split: sorted((folder / split).iterdir()) for split in raw}
    return image_files_source(data, folder, paths, labels, options)


def _kept(image: Mapping[str, Any] | None, name: str) -> EncodedImage:
    if image is None:
        raise DataError(f"{name} is missing")
    content = _content(image)
    return EncodedImage(name, content, hashlib.blake2b(content, digest_size=16).hexdigest())


def _content(image: Mapping[str, Any]) -> bytes:
    found: bytes | None = image["bytes"]
    return Path(image["path"]).read_bytes() if found is None else found


def _unlabelled_text(data: str, parts: Mapping[str, Any], options: DataOptions) -> Source | None:
    """A source of pairs (with languages) or running text (a single text column); None for other data."""
    columns = [name for name in parts["train"].features if name not in options.drop]
    translates = options.task == "translation" or options.languages
    if not translates and TRANSLATION not in columns and options.task != "language-modelling" and len(columns) > 1:
        return None
    frame = _frame(parts, columns)
    rows = divided(Rows(frame, _sizes(parts), _place(data)), options)
    if translates or (TRANSLATION in columns and options.task == "auto" and not options.targets):
        return pair_table(data, rows, options)
    running = running_column(rows.frame, options)
    return None if running is None else running_table(data, rows, running, options)


def _sizes(parts: Mapping[str, Any]) -> dict[str, int]:
    return {split: len(part) for split, part in parts.items()}


def _place(data: str) -> Place:
    return lambda row: f"{data}, row {row + 1}"


def _targets(
    hub: Any, features: Mapping[str, Any], columns: list[str], options: DataOptions, data: str
) -> tuple[str, ...] | str:
    classes = [name for name in columns if isinstance(features[name], hub.ClassLabel)]
    if not options.targets and len(classes) == 1:
        return (classes[0],)
    return target_columns(columns, options, data)


def _unlabelled(hub: Any, part: Any, targets: tuple[str, ...]) -> bool:
    """Whether a split has no labels, as many published test sets."""
    if len(targets) > 1 or not isinstance(part.features[targets[0]], hub.ClassLabel):
        return False
    values = _frame({"part": part}, list(targets))[targets[0]]
    return bool((values.isna() | (values == UNLABELLED)).all())


def _labels(
    hub: Any,
    features: Mapping[str, Any],
    parts: Mapping[str, Any],
    targets: tuple[str, ...],
    options: DataOptions,
    data: str,
) -> Labels:
    frame = _frame(parts, list(targets))
    feature = features[targets[0]]
    wrong = frame.isna().any(axis=1).to_numpy()
    if len(targets) == 1 and isinstance(feature, hub.ClassLabel) and options.task not in PREDICTED[1:]:
        indices = frame[targets[0]].fillna(UNLABELLED).to_numpy(dtype=np.int64)
        wrong = wrong | (indices == UNLABELLED)
        if not wrong.any():
            names = [str(name) for name in feature.names]
            return class_labels(indices, names, data, replace(options, target=None), targets[0])
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{data}, row {row + 1}: the target is missing ({int(wrong.sum())} rows in all)")
    return encode_targets(frame, options, _place(data))


def _frame(parts: Mapping[str, Any], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    frames: list[pd.DataFrame] = [part.select_columns(columns).to_pandas() for part in parts.values()]
    return pd.concat(frames, ignore_index=True)


def _write(parts: Mapping[str, Iterable[Mapping[str, Any]]], folder: Path) -> None:
    for split, images in parts.items():
        (folder / split).mkdir()
        for index, image in enumerate(images):
            content = _content(image)
            (folder / split / f"{index:08d}{SUFFIXES.get(content[:2], '.png')}").write_bytes(content)
