"""Text files: one to be split, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.text.parallel import is_tabbed, open_tabbed, tabbed_lines
from lamina.data.text.sources import running_text
from lamina.data.text_files import is_text, read_lines, read_text
from lamina.errors import UsageError


def open_text(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A text file, or one for each split, as running text; as pairs for translation, and if every line consists of two
    free texts separated by a tab.

    Raises DataError for an unreadable or empty file and a line that is not a pair, UsageError for another task.
    """
    texts = {split: read_text(path, options.max_extracted_bytes) for split, path in paths.items()}
    translates = options.task == "translation" or options.languages
    if translates or (options.task == "auto" and _holds_pairs(paths["train"], options)):
        return open_tabbed(name, paths, options)
    return running_text(name, texts, options)


def _holds_pairs(path: Path, options: DataOptions) -> bool:
    """Whether each line of a file is two texts with a tab between them."""
    return is_tabbed(tabbed_lines(read_lines(path, options.max_extracted_bytes)))


def split_texts(files: Sequence[Path]) -> dict[str, Path]:
    """Text files called ``train.txt``, ``valid.txt``, ``test.txt``, or ``ptb.train.txt`` and so on, by split; empty
    without one of train."""
    found: dict[str, Path] = {}
    for path in filter(is_text, files):
        for part in re.split(r"[._-]", path.name.casefold())[:-1]:
            if part in SPLIT_NAMES:
                found.setdefault(SPLIT_NAMES[part], path)
    return {split: found[split] for split in ORDER if split in found} if "train" in found else {}


def only_text(root: Path, files: Sequence[Path], options: DataOptions) -> Path | None:
    """The only text file, or the only one of pairs among several; None if there is none. Raises UsageError if
    ambiguous."""
    texts = [path for path in files if is_text(path)]
    if len(texts) > 1:
        pairs = [path for path in texts if _holds_pairs(path, options)]
        if len(pairs) != 1:
            raise UsageError(
                f"'{root}' holds several text files, none of them called train: name one, such as '{texts[0]}'"
            )
        return pairs[0]
    return texts[0] if texts else None
