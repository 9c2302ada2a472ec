"""Parallel text: aligned files for each language, or lines of two texts separated by a tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.tabular.columns import Place
from lamina.data.text.names import Files, is_language
from lamina.data.text.samples import Pairs
from lamina.data.text.sources import empty_texts, pairs_source
from lamina.data.text.tabbed import pair_columns, usual_width
from lamina.data.text_files import read_lines
from lamina.errors import DataError, UsageError, unknown

COLUMNS = ("first", "second")
"""names of the languages of a file without a header"""


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
        sources, texts = _aligned(*(read_lines(path, options.max_extracted_bytes, options.encoding) for path in paths))
        if len(sources) != len(texts):
            counts = f"'{paths[0]}' has {len(sources):,} lines, '{paths[1]}' {len(texts):,}"
            longer, line = paths[len(texts) > len(sources)], min(len(sources), len(texts)) + 1
            raise DataError(
                f"parallel files must have the same number of lines, but {counts}: line {line:,} of '{longer.name}' "
                "has no partner, and where a line is missing before it, all that follow are shifted"
            )
        parts[split], left_out = paired(sources, texts, [lines_from(path.name) for path in paths], options)
        skipped += left_out
    return pairs_source(name, parts, languages, options, skipped=skipped)


def _aligned(first: list[str], second: list[str]) -> tuple[list[str], list[str]]:
    """The lines without blank ones at the end that both files, or only the longer one, have."""
    ends = [next((k for k in range(len(lines), 0, -1) if lines[k - 1].strip()), 0) for lines in (first, second)]
    return first[: max(ends)], second[: max(ends)]


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
    """Source and target language: ``languages``, or the two found in order of name, English last; names of no language
    (question, answer) in the order found.

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
    if not all(map(is_language, found)):
        return found[0], found[1]
    first, second = sorted(found, key=lambda language: (language.casefold().startswith("en"), language))
    return first, second


def open_tabbed(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A source of pairs from a file, or one for each split, of two tab-separated texts in each line, optionally with
    numbers before them or an attribution after them (see ``pair_columns``): ``first`` is translated into ``second``, or
    as in ``languages``. Blank lines are no pairs.

    Raises DataError for other lines; with ``skip_bad`` they are left out and counted.
    """
    languages = direction(COLUMNS, options, name)
    parts, skipped, bad = {}, 0, 0
    for split, path in paths.items():
        lines = enumerate(read_lines(path, options.max_extracted_bytes, options.encoding), 1)
        rows = [(number, line.split("\t")) for number, line in lines if line.strip()]
        width = usual_width([row for _, row in rows])
        widths = (2, 3) if width in (2, 3) else (width,)
        alike = [(number, row) for number, row in rows if len(row) in widths]
        places = pair_columns(list(zip(*(row for _, row in alike if len(row) == width), strict=True)))
        wrong = next(((number, row) for number, row in rows if len(row) not in widths or places is None), None)
        if wrong is not None and (places is None or not options.skip_bad):
            raise DataError(
                f"'{path}', line {wrong[0]}: expected two texts separated by a tab, got {len(wrong[1])}"
                + ("; skip_bad (--skip-bad) leaves such lines out" if places is not None else "")
            )
        assert places is not None
        bad += len(rows) - len(alike)
        columns = [[row[places[COLUMNS.index(language)]] for _, row in alike] for language in languages]
        parts[split], left_out = paired(columns[0], columns[1], [_lines_at(path.name, alike)] * 2, options)
        skipped += left_out
    source = pairs_source(name, parts, languages, options, skipped=skipped)
    notes = (f"{bad:,} lines that are not two texts",) if bad else ()
    return replace(source, spec=replace(source.spec, skipped=(*notes, *source.spec.skipped)))


def _lines_at(name: str, rows: Sequence[tuple[int, list[str]]]) -> Place:
    return lambda row: f"{name}, line {rows[row][0]}"


def lines_from(name: str) -> Place:
    """The locations of rows in a file of lines."""
    return lambda row: f"{name}, line {row + 1}"
