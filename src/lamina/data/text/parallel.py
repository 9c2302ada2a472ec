"""Parallel text: a file for each language whose lines belong together, or lines of two texts and a tab between them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.splits import ORDER, SPLIT_NAMES
from lamina.data.tabular.columns import Place, is_free_text
from lamina.data.text.samples import Pairs
from lamina.data.text.sources import empty_texts, pairs_source
from lamina.data.text_files import is_text, lines_of, read_lines
from lamina.errors import DataError, UsageError, unknown

LANGUAGE = re.compile(r"[A-Za-z]{2,8}([_-]\w{1,8})*")
NO_LANGUAGES = ("txt", "csv", "tsv", "json", "jsonl", "ndjson", "parquet", "pq", "npz", "bin", "zip", "tar")
COLUMNS = ("first", "second")
"""what the languages of a file without a header are called"""
SIDES = ("src", "tgt")
"""what the sides of a translation are called in src-train.txt and tgt-train.txt"""
Files = Mapping[str, Mapping[str, Path]]
"""for each split the file of each language"""


def parallel_files(files: Sequence[Path]) -> Files:
    """Files named as ``train.de`` and ``train.en``, by split and language; empty where train is not there in two.

    ``src-train.txt`` and ``tgt-train.txt`` are such files, too, of the languages "src" and "tgt". The other splits are ``val``, ``valid``, ``validation``, ``dev`` and ``test``; more may follow in a name
    (``test_2016_flickr.de``), and all may be gzipped. Of several test sets the one called just test is taken, else the
    first by name.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in files:
        side, _, rest = path.name.partition("-")
        if side in SIDES and rest and is_text(path):
            found.setdefault(rest.split(".")[0], {})[side] = path
            continue
        stem, _, language = path.name.removesuffix(".gz").rpartition(".")
        if stem and LANGUAGE.fullmatch(language) and language.casefold() not in NO_LANGUAGES:
            found.setdefault(stem, {})[language] = path
    splits: dict[str, dict[str, Path]] = {}
    for stem in sorted(found, key=lambda stem: (stem.casefold() not in SPLIT_NAMES, stem)):
        split = SPLIT_NAMES.get(re.split(r"[._-]", stem)[0].casefold())
        if split is not None and len(found[stem]) > 1:
            splits.setdefault(split, found[stem])
    return {split: splits[split] for split in ORDER if split in splits} if "train" in splits else {}


def open_parallel(name: str, files: Files, options: DataOptions) -> Source:
    """A source of pairs from files whose lines belong together; ``languages`` says which, and in which direction,
    otherwise they go by name, English last.

    Raises DataError for files of different length, with both counts, and for an empty line, unless ``skip_bad`` leaves
    such pairs out; UsageError for a language that is not there.
    """
    languages = direction(sorted(files["train"]), options, name)
    parts, skipped = {}, 0
    for split, by_language in files.items():
        for language in languages:
            if language not in by_language:
                raise DataError(f"{name} has a file of {split} in {', '.join(by_language)}, but none in {language}")
        paths = [by_language[language] for language in languages]
        sources, texts = (read_lines(path, options.max_extracted_bytes) for path in paths)
        if len(sources) != len(texts):
            counts = f"'{paths[0]}' has {len(sources):,} lines, '{paths[1]}' {len(texts):,}"
            raise DataError(f"parallel files belong together line by line, but {counts}")
        parts[split], left_out = paired(sources, texts, [lines_from(path.name) for path in paths], options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def paired(
    sources: Sequence[str], texts: Sequence[str], places: Sequence[Place], options: DataOptions
) -> tuple[Pairs, int]:
    """Pairs, and how many were left out as one of their texts is empty, on request. Raises DataError otherwise."""
    empty = empty_texts(sources, places[0], options) | empty_texts(texts, places[1], options)
    kept = [k for k, bad in enumerate(empty.tolist()) if not bad]
    if len(kept) == len(texts):
        return Pairs(tuple(sources), tuple(texts)), 0
    return Pairs(tuple(sources), tuple(texts)).subset(kept), len(texts) - len(kept)


def direction(found: Sequence[str], options: DataOptions, name: str) -> tuple[str, str]:
    """What is translated and into what: as ``languages`` says, else the two found by name, English last.

    Raises UsageError for languages that are not there, and where there are not two to choose from.
    """
    for language in options.languages:
        if language not in found:
            raise unknown("language", language, found)
    if options.languages:
        first, second = options.languages
        return first, second
    if len(found) != 2:
        listed = ", ".join(found) or "none"
        raise UsageError(f"{name}: say with --languages what is translated and into what; there are: {listed}")
    first, second = sorted(found, key=lambda language: (language.startswith("en"), language))
    return first, second


def is_tabbed(columns: Sequence[Sequence[str]]) -> bool:
    """Whether columns without a header look like pairs: two of free text, or three with an attribution."""
    return len(columns) in (2, 3) and is_free_text(columns[0]) and is_free_text(columns[1])


def tabbed_lines(text: str) -> list[list[str]]:
    """The columns of lines that all have the same number of tabs; none where they do not."""
    rows = [line.split("\t") for line in lines_of(text)]
    return [list(column) for column in zip(*rows, strict=True)] if len({len(row) for row in rows}) == 1 else []


def open_tabbed(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A source of pairs from a file, or one for each split, of which each line is two texts with a tab between (and, it
    may be, a third with an attribution): ``first`` is translated into ``second``, or as ``languages`` says.

    Raises DataError naming a line that is otherwise.
    """
    languages = direction(COLUMNS, options, name)
    parts, skipped = {}, 0
    for split, path in paths.items():
        rows = [line.split("\t") for line in read_lines(path, options.max_extracted_bytes)]
        for number, row in enumerate(rows, 1):
            if len(row) not in (2, 3):
                raise DataError(f"'{path}', line {number}: expected two texts with a tab between, got {len(row)}")
        columns = [[row[COLUMNS.index(language)] for row in rows] for language in languages]
        parts[split], left_out = paired(columns[0], columns[1], [lines_from(path.name)] * 2, options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def lines_from(name: str) -> Place:
    """Places in a file of lines."""
    return lambda row: f"{name}, line {row + 1}"
