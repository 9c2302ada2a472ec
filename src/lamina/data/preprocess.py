"""What is done to data before a model sees them: fitted on the training split, saved with the run, used ever after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lamina.data.preprocess_image import ImagePreprocess, fit_images
from lamina.data.preprocess_table import TablePreprocess, fit_table
from lamina.data.resizing import Resize
from lamina.data.source import Source
from lamina.errors import RunError, UsageError

Preprocess = ImagePreprocess | TablePreprocess

HOLD_LIMIT_BYTES = 2 * 2**30
"""data that take no more than this are held in memory when the choice is ours"""


def fit_preprocess(
    source: Source, *, channels: int | None = None, size: tuple[int, int] | None = None, resize: Resize = "stretch"
) -> Preprocess:
    """Fit what a source's training split calls for; validation and test are not looked at.

    Images: ``channels`` and ``size`` (height, width) are those of the model, or None for the source's own; mean and
    standard deviation are taken over the training images at that size (over at most 10,000 evenly spaced ones where
    they are files). Tables take neither. Raises UsageError for channels that do not turn into each other, for images of
    different sizes where none is given; DataError for files that cannot be read and tables without a usable column.
    """
    if source.spec.kind == "table":
        if channels is not None or size is not None:
            raise UsageError(f"{source.spec.name} is a table: the model takes images")
        return fit_table(source)
    return fit_images(source, channels, size, resize)


def load_preprocess(data: Mapping[str, Any]) -> Preprocess:
    """What ``to_dict`` gave. Raises RunError for another format."""
    if data.get("format") != 1:
        raise RunError(f"the preprocess is of format {data.get('format')!r}, this version of lamina reads format 1")
    try:
        return (ImagePreprocess if data["kind"] == "image" else TablePreprocess).from_dict(data)
    except (KeyError, TypeError) as error:
        raise RunError(f"the preprocess is damaged: {error}") from error


def holds(preprocess: Preprocess, source: Source, memory: Literal["auto", "hold", "stream"] = "auto") -> bool:
    """Whether all splits of a source are to be held in memory: always, never, or where they take at most 2 GiB."""
    if memory != "auto":
        return memory == "hold"
    return sum(preprocess.bytes_of(split) for split in source.splits.values()) <= HOLD_LIMIT_BYTES
