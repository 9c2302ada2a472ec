"""Running text in files: one that is divided, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.splits import ORDER, SPLIT_NAMES
from lamina.data.text_files import is_text, read_text
from lamina.data.text_sources import running_text


def open_text(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A text file, or one for each split, as running text. Raises DataError for one that cannot be read or is empty."""
    return running_text(
        name, {split: read_text(path, options.max_extracted_bytes) for split, path in paths.items()}, options
    )


def split_texts(files: Sequence[Path]) -> dict[str, Path]:
    """Text files called ``train.txt``, ``valid.txt``, ``test.txt``, or ``ptb.train.txt`` and so on, by split; empty
    where there is none of train."""
    found: dict[str, Path] = {}
    for path in filter(is_text, files):
        for part in re.split(r"[._-]", path.name.casefold())[:-1]:
            if part in SPLIT_NAMES:
                found.setdefault(SPLIT_NAMES[part], path)
    return {split: found[split] for split in ORDER if split in found} if "train" in found else {}
