"""The table of modalities, and the way from a source to the preprocess of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.data.protocols import Memory, Modality, Needs, Preprocess
from lamina.data.source import Source
from lamina.errors import RunError, UsageError
from lamina.plugins import Plugins

MODALITIES: Plugins[Modality] = Plugins(
    "lamina.modalities",
    "modality",
    {
        "image": "lamina.data.image.modality:MODALITY",
        "table": "lamina.data.table.modality:MODALITY",
        "text": "lamina.data.text.modality:MODALITY",
    },
    Modality,
)
HOLD_LIMIT_BYTES = 2 * 2**30
"""data that take no more than this are held in memory when the choice is ours"""


def fit_preprocess(source: Source, needs: Needs | None = None) -> Preprocess:
    """Fit what a source's training split calls for: ``fit_preprocess(open_source("digits"))``.

    Raises UsageError for what model and options ask that these data cannot give, DataError for files that cannot be
    read and data without anything usable.
    """
    needs, modality = needs or Needs(), MODALITIES[source.spec.kind]
    if not modality.augments and (given := needs.augmentation.given()):
        raise UsageError(f"{given[0]} is for images, but the data are {modality.noun}")
    return modality.fit(source, needs)


def load_preprocess(files: Mapping[str, Mapping[str, Any]]) -> Preprocess:
    """What ``Preprocess.files`` gave. Raises RunError for another format, a modality whose package is not installed,
    and for files that are missing or damaged."""
    data = files["preprocess.json"]
    if data.get("format") != 1:
        raise RunError(f"the preprocess is of format {data.get('format')!r}, this version of lamina reads format 1")
    kind = str(data.get("kind"))
    if kind not in MODALITIES:
        raise RunError(f"the preprocess is one of {kind} data, which no installed package knows")
    try:
        return MODALITIES[kind].load(files)
    except (KeyError, TypeError) as error:
        raise RunError(f"the preprocess is damaged: {error}") from error


def preprocess_files(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the files that belong to a preprocess.json. Raises RunError as ``load_preprocess`` does."""
    kind = str(data.get("kind"))
    return MODALITIES[kind].files if kind in MODALITIES else ("preprocess.json",)


def holds(preprocess: Preprocess, source: Source, memory: Memory = "auto") -> bool:
    """Whether all splits of a source are to be held in memory: always, never, or where they take at most 2 GiB."""
    if memory != "auto":
        return memory == "hold"
    return sum(preprocess.bytes_of(split) for split in source.splits.values()) <= HOLD_LIMIT_BYTES
