"""Opening of data sources of every format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lamina.data.catalogue import embedded_name, expect_known
from lamina.data.formats.archives import extract
from lamina.data.formats.cmapss import of_file, open_set
from lamina.data.formats.embedded import open_embedded
from lamina.data.formats.folders import ARCHIVE_SUFFIXES, index_folder, is_archive, open_folder
from lamina.data.formats.hub import open_hub
from lamina.data.formats.memory import MemoryData
from lamina.data.formats.memory_reading import in_memory
from lamina.data.formats.npz import open_npz
from lamina.data.formats.tables import open_table
from lamina.data.formats.texts import open_other_text, open_text
from lamina.data.modality import MODALITIES
from lamina.data.options import DataOptions, UnsupervisedOptions
from lamina.data.source import Source
from lamina.data.tabular.frames import TABLE_SUFFIXES, is_table
from lamina.data.targets.labels import READ_FOR
from lamina.data.text_files import TEXT_SUFFIXES, is_text
from lamina.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor
    from torch.utils.data import Dataset

Data: TypeAlias = (
    "str | os.PathLike[str] | pd.DataFrame | np.ndarray[Any, Any] | Tensor | tuple[Any, Any] | Sequence[Any] | "
    "Mapping[str, Any] | Dataset[Any] | MemoryData"
)
"""what data can be: a name (an embedded set, a path, ``hf:<dataset>@<revision>``), or in memory

- a data frame (``target`` names its label column), or anything with ``to_pandas``
- ``(inputs, labels)``: arrays or tensors of features (N, F) or images (N, H, W), NHWC or NCHW, a data frame, texts,
  pictures; labels (N,), (N, K) or None
- a list of texts, of pairs of texts, of PIL images, of arrays, of rows as dictionaries, of (input, label)
- a data set with a length, as torch's, or of the ``datasets`` library
- a dictionary of these by split: ``{"train": ..., "test": ...}``
"""


def open_source(data: Data, *, options: DataOptions | None = None) -> Source:
    """Raw splits and their spec, from an embedded name, a path, ``hf:<dataset>@<revision>``, or data in memory (see
    ``Data``).

    Paths: a folder for each class of images or texts (optionally in train, val and test folders), a folder of idx or
    CIFAR-10 files, a table (CSV, TSV, Parquet, JSON lines) of rows, of image files or of texts, Parquet files that hold
    images, an .npz file, a text file or one for each split, lines with ``__label__NAME`` before them, parallel text in
    ``train.de`` and ``train.en`` or with a tab in each line, or a zip or tar archive of any of the folders. An embedded
    name takes precedence over a path: write ``./digits`` for a folder called digits. Raises UsageError for missing data
    and unknown formats, DataError for faults in the data.

    Examples::

        open_source("digits")
        open_source("photos/")
        open_source("houses.csv", options=DataOptions(target="price"))
        open_source("hf:mnist@main")
        open_source(frame, options=DataOptions(target="price"))
        open_source((images, labels))
    """
    asked = options or DataOptions()
    options = asked
    if asked.task not in READ_FOR:  # what other tasks are trained for does not decide how data are read
        learns = asked.task == "auto" or not asked.teaches
        options = replace(asked, task="auto") if learns else UnsupervisedOptions.of(asked)
    given = given_data(data)
    if isinstance(given, tuple):
        raise UsageError(f"{' and '.join(given)} are several names: open them one by one")
    if not isinstance(given, str):
        return given.open(options)
    return _open_named(given, asked, options)


def given_data(data: Data) -> str | tuple[str, ...] | MemoryData:
    """What was given as data: a name, several names, or data in memory. Raises UsageError for anything else.

    Example: ``given_data(Path("houses.csv"))`` is "houses.csv".
    """
    if (memory := in_memory(data)) is not None:
        return memory
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    return tuple(os.fspath(name) for name in cast(Sequence[Any], data))


def _open_named(data: str, given: DataOptions, options: DataOptions) -> Source:
    if data.startswith("hf:"):
        return open_hub(data, options)
    if name := embedded_name(data):
        return open_embedded(name, options)
    expect_known(data)
    path = Path(data).expanduser()
    for kind in MODALITIES.points:  # of other packages, which may add formats
        modality = MODALITIES.find(kind)
        opener = None if modality is None else modality.open
        if opener is not None and (source := opener(data, path, given)) is not None:
            return source
    if path.is_dir():
        return open_folder(data, path, options)
    if is_table(path):
        return open_table(data, {"train": path}, options)
    if engines := of_file(path):
        return open_set(data, engines, options)
    if path.name.casefold().endswith(".npz"):
        return open_npz(data, path, options)
    if is_text(path):
        return open_text(data, {"train": path}, options)
    if is_archive(path):
        return open_folder(data, extract(path, options.max_extracted_bytes), options)
    if (source := open_other_text(data, path, options)) is not None:
        return source
    known = ", ".join((*TABLE_SUFFIXES, ".npz", *TEXT_SUFFIXES, *ARCHIVE_SUFFIXES))
    broken = "".join(f"; {fault}" for fault in MODALITIES.faults.values())
    raise UsageError(f"'{data}' is in no known format (folders, and files ending in {known}){broken}")


def index_images(data: str, options: DataOptions | None = None) -> Path:
    """Write the index of a folder of images or of tar shards, and return its path; the one before is replaced.

    Raises UsageError for other data, DataError for an image that cannot be read.

    Example: ``index_images("photos/")``
    """
    path = Path(data).expanduser()
    if embedded_name(data) or not path.is_dir():
        raise UsageError(f"--index is for a folder of images or of tar shards, not '{data}'")
    return index_folder(data, path, replace(options or DataOptions(), limit=None))
