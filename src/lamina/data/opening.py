"""Opening of data sources of every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lamina.data.catalogue import embedded_name, expect_known
from lamina.data.formats.archives import extract
from lamina.data.formats.embedded import open_embedded
from lamina.data.formats.folders import ARCHIVE_SUFFIXES, is_archive, open_folder
from lamina.data.formats.hub import open_hub
from lamina.data.formats.npz import open_npz
from lamina.data.formats.tables import open_table
from lamina.data.formats.texts import open_other_text, open_text
from lamina.data.modality import MODALITIES
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.tabular.frames import TABLE_SUFFIXES, is_table
from lamina.data.targets.labels import READ_FOR
from lamina.data.text_files import TEXT_SUFFIXES, is_text
from lamina.errors import UsageError


def open_source(data: str, *, options: DataOptions | None = None) -> Source:
    """Raw splits and their spec, from an embedded name, a path, or ``hf:<dataset>@<revision>``.

    Paths: a folder for each class of images or texts (optionally in train, val and test folders), a folder of idx or
    CIFAR-10 files, a table (CSV, TSV, Parquet, JSON lines) of rows, of image files or of texts, an .npz file, a text
    file or one for each split, lines with ``__label__NAME`` before them, parallel text in ``train.de`` and ``train.en``
    or with a tab in each line, or a zip or tar archive of any of the folders. An embedded name takes precedence over a
    path: write ``./digits`` for a folder called digits. Raises UsageError for missing data and unknown formats,
    DataError for faults in the data.

    Examples::

        open_source("digits")
        open_source("photos/")
        open_source("houses.csv", options=DataOptions(target="price"))
        open_source("hf:mnist@main")
    """
    given = options or DataOptions()
    options = given if given.task in READ_FOR else replace(given, task="auto")
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
