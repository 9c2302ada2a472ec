"""Parallel text: aligned files for each language, or lines of two texts separated by a tab."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.tabular.columns import Place, is_free_text
from lamina.data.text.samples import Pairs
from lamina.data.text.sources import empty_texts, pairs_source
from lamina.data.text_files import is_text, read_lines
from lamina.errors import DataError, UsageError, unknown

LANGUAGE = re.compile(r"[A-Za-z]{2,8}([_-]\w{1,8})*")
NO_LANGUAGES = ("txt", "csv", "tsv", "json", "jsonl", "ndjson", "parquet", "pq", "npz", "bin", "zip", "tar")
COLUMNS = ("first", "second")
"""names of the languages of a file without a header"""
SIDES = ("src", "tgt")
"""the sides of a translation in names such as src-train.txt and tgt-train.txt"""
Files = Mapping[str, Mapping[str, Path]]
"""the file of each language, by split"""


def parallel_files(files: Sequence[Path]) -> Files:
    """Files named as ``train.de`` and ``train.en``, by split and language; empty without two of train.

    ``src-train.txt`` and ``tgt-train.txt`` are such files, too. The other splits are ``val``, ``valid``,
    ``validation``, ``dev`` and ``test``; names may have suffixes (``test_2016_flickr.de``), and files may be gzipped.
    Of several test sets the one called test is used, or the first by name.
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
    """A source of pairs from aligned files, in the direction of ``languages``; by default in order of name, English
    last.

    Raises DataError for files of different length and for an empty line without ``skip_bad``, UsageError for an unknown
    language.
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
            raise DataError(f"parallel files must have the same number of lines, but {counts}")
        parts[split], left_out = paired(sources, texts, [lines_from(path.name) for path in paths], options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def paired(
    sources: Sequence[str], texts: Sequence[str], places: Sequence[Place], options: DataOptions
) -> tuple[Pairs, int]:
    """Pairs, and the number of pairs skipped for an empty text with ``skip_bad``. Raises DataError otherwise."""
    empty = empty_texts(sources, places[0], options) | empty_texts(texts, places[1], options)
    kept = [k for k, bad in enumerate(empty.tolist()) if not bad]
    if len(kept) == len(texts):
        return Pairs(tuple(sources), tuple(texts)), 0
    return Pairs(tuple(sources), tuple(texts)).subset(kept), len(texts) - len(kept)


def direction(found: Sequence[str], options: DataOptions, name: str) -> tuple[str, str]:
    """Source and target language: ``languages``, or the two found in order of name, English last.

    Raises UsageError for unknown languages, and unless exactly two are found.
    """
    for language in options.languages:
        if language not in found:
            raise unknown("language", language, found)
    if options.languages:
        first, second = options.languages
        return first, second
    if len(found) != 2:
        listed = ", ".join(found) or "none"
        raise UsageError(f"{name}: set --languages to source and target language; available: {listed}")
    first, second = sorted(found, key=lambda language: (language.startswith("en"), language))
    return first, second


def is_tabbed(columns: Sequence[Sequence[str]]) -> bool:
    """Whether columns without a header look like pairs: two of free text, optionally with an attribution."""
    return len(columns) in (2, 3) and is_free_text(columns[0]) and is_free_text(columns[1])


def tabbed_lines(lines: Sequence[str]) -> list[list[str]]:
    """The columns of tab-separated lines; empty if their numbers of tabs differ."""
    rows = [line.split("\t") for line in lines]
    return [list(column) for column in zip(*rows, strict=True)] if len({len(row) for row in rows}) == 1 else []


def open_tabbed(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A source of pairs from a file, or one for each split, of two tab-separated texts in each line (and optionally an
    attribution): ``first`` is translated into ``second``, or as in ``languages``.

    Raises DataError for other lines.
    """
    languages = direction(COLUMNS, options, name)
    parts, skipped = {}, 0
    for split, path in paths.items():
        rows = [line.split("\t") for line in read_lines(path, options.max_extracted_bytes)]
        for number, row in enumerate(rows, 1):
            if len(row) not in (2, 3):
                raise DataError(f"'{path}', line {number}: expected two texts separated by a tab, got {len(row)}")
        columns = [[row[COLUMNS.index(language)] for row in rows] for language in languages]
        parts[split], left_out = paired(columns[0], columns[1], [lines_from(path.name)] * 2, options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def lines_from(name: str) -> Place:
    """The locations of rows in a file of lines."""
    return lambda row: f"{name}, line {row + 1}"
