"""Parallel text: a file for each language whose lines belong together, or lines of two texts and a tab between them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Pairs, Source
from lamina.data.splits import ORDER, SPLIT_NAMES
from lamina.data.text_files import lines_of, read_text
from lamina.data.text_sources import empty_texts, pairs_source
from lamina.errors import DataError, UsageError, unknown

LANGUAGE = re.compile(r"[A-Za-z]{2,8}([_-]\w{1,8})*")
NO_LANGUAGES = ("txt", "csv", "tsv", "json", "jsonl", "ndjson", "parquet", "pq", "npz", "bin", "zip", "tar")
Files = Mapping[str, Mapping[str, Path]]
"""for each split the file of each language"""


def parallel_files(files: Sequence[Path]) -> Files:
    """Files named as ``train.de`` and ``train.en``, by split and language; empty where train is not there in two.

    The other splits are ``val``, ``valid``, ``validation``, ``dev`` and ``test``; more may follow in a name
    (``test_2016_flickr.de``), and all may be gzipped. Of several test sets the one called just test is taken, else the
    first by name.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in files:
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
    languages = _direction(sorted(files["train"]), options, name)
    parts, skipped = {}, 0
    for split, by_language in files.items():
        for language in languages:
            if language not in by_language:
                raise DataError(f"{name} has a file of {split} in {', '.join(by_language)}, but none in {language}")
        paths = [by_language[language] for language in languages]
        sources, texts = (lines_of(read_text(path, options.max_extracted_bytes)) for path in paths)
        if len(sources) != len(texts):
            counts = f"'{paths[0]}' has {len(sources):,} lines, '{paths[1]}' {len(texts):,}"
            raise DataError(f"parallel files belong together line by line, but {counts}")
        parts[split], left_out = paired(sources, texts, [path.name for path in paths], options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def paired(
    sources: Sequence[str], texts: Sequence[str], names: Sequence[str], options: DataOptions
) -> tuple[Pairs, int]:
    """Pairs, and how many were left out as one of their texts is empty, on request. Raises DataError otherwise."""
    empty = empty_texts(sources, lambda row: f"{names[0]}, line {row + 1}", options)
    empty |= empty_texts(texts, lambda row: f"{names[1]}, line {row + 1}", options)
    kept = [k for k, bad in enumerate(empty.tolist()) if not bad]
    if len(kept) == len(texts):
        return Pairs(tuple(sources), tuple(texts)), 0
    return Pairs(tuple(sources), tuple(texts)).subset(kept), len(texts) - len(kept)


def _direction(found: Sequence[str], options: DataOptions, name: str) -> tuple[str, str]:
    for language in options.languages:
        if language not in found:
            raise unknown("language", language, found)
    if options.languages:
        first, second = options.languages
        return first, second
    if len(found) != 2:
        raise UsageError(f"{name} is in {', '.join(found)}: say with --languages which is translated into which")
    first, second = sorted(found, key=lambda language: (language.startswith("en"), language))
    return first, second
