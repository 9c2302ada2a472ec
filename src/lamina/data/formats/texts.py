"""Text files: one to be split, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.memory import expect_room, file_sizes
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.targets.labels import PREDICTED
from lamina.data.text.labelled import MARK, is_labelled, open_labelled
from lamina.data.text.names import beside
from lamina.data.text.parallel import open_parallel, open_tabbed
from lamina.data.text.sources import running_text
from lamina.data.text.tabbed import holds_pairs
from lamina.data.text_files import is_text, read_lines, read_text, unpacked_name
from lamina.errors import UsageError


def open_text(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A text file, or one for each split, as running text; as labelled lines if they begin with ``__label__NAME``; as
    pairs for translation, and if the lines consist of two free texts separated by a tab.

    Raises DataError for an unreadable or empty file and a line that is not a pair, UsageError for another task.
    """
    expect_room(file_sizes(paths.values()), "text")
    if options.task in ("auto", *PREDICTED) and is_labelled(paths["train"], options):
        return open_labelled(name, paths, options)
    translates = options.task == "translation" or options.languages
    if translates or (options.task == "auto" and _holds_pairs(paths["train"], options)):
        return open_tabbed(name, paths, options)
    if options.task in PREDICTED:
        raise UsageError(
            f"{name} is running text without labels: its task is language-modelling, not {options.task}; labelled "
            f"lines begin with {MARK}NAME, and a table has a column of labels"
        )
    texts = {split: read_text(path, options.max_extracted_bytes, options.encoding) for split, path in paths.items()}
    return running_text(name, texts, options)


def open_other_text(name: str, path: Path, options: DataOptions) -> Source | None:
    """A text file without a suffix of one: ``corpus.de`` with ``corpus.en`` beside it, ``cooking.train``, ``text8``.
    None for another file."""
    if parallel := beside(path):
        return open_parallel(name, parallel, options)
    return open_text(name, {"train": path}, options) if not path.suffix or split_texts([path]) else None


def _holds_pairs(path: Path, options: DataOptions) -> bool:
    """Whether the lines of a file are two texts with a tab between them."""
    return holds_pairs([line.split("\t") for line in read_lines(path, options.max_extracted_bytes, options.encoding)])


def split_texts(files: Sequence[Path]) -> dict[str, Path]:
    """Text files called ``train.txt``, ``valid.txt``, ``test.txt``, or ``wiki.train.tokens``, ``cooking.train`` and so
    on, by split; empty without one of train. Raises UsageError if none of several of train is called train alone."""
    found: dict[str, list[Path]] = {}
    for path in files:
        *parts, last = re.split(r"[._-]", unpacked_name(path))
        named = [part for part in parts if part in SPLIT_NAMES] if is_text(path) or last == "raw" else []
        named += [last] if last in SPLIT_NAMES and parts else []
        if named:
            found.setdefault(SPLIT_NAMES[named[0]], []).append(path)
    if "train" not in found:
        return {}
    chosen = {}
    for split in (split for split in ORDER if split in found):
        paths = sorted(
            found[split], key=lambda path: (path.name.split(".")[0].casefold() not in SPLIT_NAMES, path.name)
        )
        alone = paths[0].name.split(".")[0].casefold() in SPLIT_NAMES
        if split == "train" and len(paths) > 1 and not alone:
            named_both = " and ".join(f"'{path.name}'" for path in paths[:2])
            raise UsageError(f"'{paths[0].parent}' holds several text files of train, {named_both}: name one")
        chosen[split] = paths[0]
    return chosen


def _is_split(path: Path) -> bool:
    """Whether a file is called by a split alone, as train.txt."""
    return path.name.split(".")[0].casefold() in SPLIT_NAMES


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
