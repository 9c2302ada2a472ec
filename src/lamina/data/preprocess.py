"""What is done to data before a model sees them: fitted on the training split, saved with the run, used ever after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from lamina.data.image.preprocess import ImagePreprocess, Moments, fit_images
from lamina.data.image.resizing import Resize
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.table.preprocess import TablePreprocess, fit_table
from lamina.data.text.preprocess import TextPreprocess, fit_text
from lamina.errors import RunError, UsageError

Preprocess = ImagePreprocess | TablePreprocess | TextPreprocess
Memory = Literal["auto", "hold", "stream"]

HOLD_LIMIT_BYTES = 2 * 2**30
"""data that take no more than this are held in memory when the choice is ours"""


def fit_preprocess(
    source: Source,
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    resize: Resize = "stretch",
    crop: int | None = None,
    moments: Moments | None = None,
    covariance: bool = False,
    memory: Memory = "auto",
    options: DataOptions | None = None,
    context: int | None = None,
) -> Preprocess:
    """Fit what a source's training split calls for; validation and test are not looked at.

    Images: ``channels`` and ``size`` (height, width) are those of the model, or None for the source's own; ``crop`` is
    the side that images are held at, of which the model sees a window. Mean and standard deviation are the ``moments``
    given, or taken over the training images as they are held (over at most 10,000 evenly spaced ones where they are
    files); so is the ``covariance`` of the channels, where it is wanted. Files decoded for these are kept as ``encode``
    gives them where ``holds`` says of ``memory`` that they will be. Texts: ``options`` says what tokens are, and
    ``context`` is the most of them that the model takes. Tables take none of these. Raises UsageError for channels that
    do not turn into each other, for images of different sizes where none is given, for a vocabulary too small for a
    tokenizer; DataError for files that cannot be read and tables without a usable column.
    """
    kind, name = source.spec.kind, source.spec.name
    if kind != "image":
        what = "a table" if kind == "table" else "text"
        if channels is not None or size is not None:
            raise UsageError(f"{name} is {what}: the model takes images")
        if crop is not None or moments is not None:
            raise UsageError(f"crop and normalisation are for images, but {name} is {what}")
        return fit_table(source) if kind == "table" else fit_text(source, options or DataOptions(), context)
    hold = partial(holds, source=source, memory=memory)
    return fit_images(source, channels, size, resize, crop, moments, covariance, hold)


def files_of(preprocess: Preprocess) -> dict[str, dict[str, Any]]:
    """The JSON files in which a run keeps a preprocess, by name: the tokenizer of texts is one of its own."""
    files = {"preprocess.json": preprocess.to_dict()}
    if isinstance(preprocess, TextPreprocess):
        files["tokenizer.json"] = json.loads(preprocess.code.to_json())
    return files


def load_preprocess(data: Mapping[str, Any], tokenizer: Mapping[str, Any] | None = None) -> Preprocess:
    """What ``files_of`` gave: preprocess.json and, for texts, tokenizer.json.

    Raises RunError for another format, and for a tokenizer that is missing, damaged or another than it was.
    """
    if data.get("format") != 1:
        raise RunError(f"the preprocess is of format {data.get('format')!r}, this version of lamina reads format 1")
    try:
        if data["kind"] == "text":
            if tokenizer is None:
                raise RunError("the preprocess of a text needs its tokenizer.json")
            return TextPreprocess.from_dict(data, tokenizer)
        return (ImagePreprocess if data["kind"] == "image" else TablePreprocess).from_dict(data)
    except (KeyError, TypeError) as error:
        raise RunError(f"the preprocess is damaged: {error}") from error


def holds(preprocess: Preprocess, source: Source, memory: Memory = "auto") -> bool:
    """Whether all splits of a source are to be held in memory: always, never, or where they take at most 2 GiB."""
    if memory != "auto":
        return memory == "hold"
    return sum(preprocess.bytes_of(split) for split in source.splits.values()) <= HOLD_LIMIT_BYTES
