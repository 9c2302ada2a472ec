"""The table of modalities, and fitting and loading of preprocesses."""

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
        "series": "lamina.data.series.modality:MODALITY",
    },
    Modality,
)
HOLD_LIMIT_BYTES = 2 * 2**30
"""with memory="auto", data up to this size are held in memory"""


def fit_preprocess(source: Source, needs: Needs | None = None) -> Preprocess:
    """Fit the preprocess of a source's modality on its training split.

    Raises UsageError for requirements of model or options that the data cannot meet, DataError for unreadable files
    and data without usable content.

    Example: ``fit_preprocess(open_source("digits"), Needs(channels=3, size=(32, 32)))``
    """
    needs, modality = needs or Needs(), MODALITIES[source.spec.kind]
    if not modality.augments and (given := needs.augmentation.given()):
        raise UsageError(f"{given[0]} is for images, but the data are {modality.noun}")
    if not modality.in_time and (given := needs.options.of_series):
        raise UsageError(f"{given[0]} (--{given[0]}) is for series, but the data are {modality.noun}")
    return modality.fit(source, needs)


def load_preprocess(files: Mapping[str, Mapping[str, Any]]) -> Preprocess:
    """The preprocess saved in ``files``, the contents of ``Preprocess.files()``.

    Raises RunError for another format, a modality whose package is not installed, and missing or damaged files.

    Example: ``load_preprocess(fit_preprocess(open_source("digits")).files())``
    """
    data = files["preprocess.json"]
    if data.get("format") != 1:
        raise RunError(f"the preprocess is of format {data.get('format')!r}, this version of lamina reads format 1")
    kind = str(data.get("kind"))
    if kind not in MODALITIES:
        raise RunError(f"the preprocess is for {kind} data, which no installed package supports")
    try:
        return MODALITIES[kind].load(files)
    except (KeyError, TypeError) as error:
        raise RunError(f"the preprocess is damaged: {error}") from error


def preprocess_files(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the files of the preprocess described by a preprocess.json."""
    kind = str(data.get("kind"))
    return MODALITIES[kind].files if kind in MODALITIES else ("preprocess.json",)


def holds(preprocess: Preprocess, source: Source, memory: Memory = "auto") -> bool:
    """Whether the splits of a source are held in memory; "auto": if they take at most 2 GiB."""
    if memory != "auto":
        return memory == "hold"
    return sum(preprocess.bytes_of(split) for split in source.splits.values()) <= HOLD_LIMIT_BYTES
