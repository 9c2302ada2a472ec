"""Tables of texts: a column of free text, with labels, with a translation, or alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.tabular.columns import Place, is_free_text
from lamina.data.tabular.roles import is_row_number
from lamina.data.tabular.rows import Rows, read_rows
from lamina.data.targets.labels import USUAL_NAMES
from lamina.data.text.names import is_header
from lamina.data.text.parallel import COLUMNS, direction, paired
from lamina.data.text.sources import empty_texts, pairs_source, running_text
from lamina.data.text.tabbed import is_tabbed, looks_written
from lamina.data.text_files import lines_of, read_text
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

TABBED = (".tsv", ".tsv.gz")
SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')\u00bb\u201d]?\s*$")
TRANSLATION = "translation"
"""a column of this name may hold all languages of a row: {"de": ..., "en": ...}"""


def text_column(frame: pd.DataFrame, inputs: list[str], options: DataOptions) -> str | None:
    """The text column among the inputs: the one requested, or the only one besides row numbers, if it is free text.
    Raises UsageError for an unknown column."""
    if options.text is not None:
        if options.text not in inputs:
            raise unknown("text column", options.text, inputs)
        return options.text
    left = [column for column in inputs if not is_row_number(column)]
    if len(left) == 1 and left[0] not in options.categorical and is_free_text(frame[left[0]]):
        return left[0]
    return None


def running_column(frame: pd.DataFrame, options: DataOptions) -> str | None:
    """The column of running text: for language modelling the one requested or the only text column; otherwise the only
    column, if it is free text. Raises UsageError if there are several."""
    columns = [str(column) for column in frame.columns]
    if options.task == "language-modelling":
        words = [name for name in columns if frame[name].map(lambda value: isinstance(value, str)).any()]
        if options.text is None and len(words) != 1:
            raise UsageError(f"name the text column with --text, one of: {', '.join(columns)}")
        return text_column(frame, columns, options) or words[0]
    alone = options.task == "auto" and not options.targets and len(columns) == 1
    return text_column(frame, columns, options) if alone else None


def without_empty(rows: Rows, column: str, options: DataOptions) -> tuple[Rows, tuple[str, ...]]:
    """Rows with a text, and a note on those skipped. Raises DataError for a row without one (see ``skip_bad``)."""
    empty = empty_texts(rows.frame[column].tolist(), rows.place, options)
    return (rows.without(empty), (f"{int(empty.sum())} rows without a text",)) if empty.any() else (rows, ())


def running_table(name: str, rows: Rows, column: str, options: DataOptions) -> Source:
    """A source of running text with one or more lines from each row; an empty cell is an empty line.

    Raises DataError for a split without text.
    """
    lines = [text.removesuffix("\n") if isinstance(text, str) else "" for text in rows.frame[column].tolist()]
    parts, start = {}, 0
    for split, count in rows.sizes.items():
        parts[split] = "\n".join(lines[start : start + count]) + "\n"
        start += count
        if not parts[split].strip():
            raise DataError(f"{name}: column '{column}' has no text in {split}")
    return running_text(name, parts, options, notes=rows.notes)


def open_pair_table(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A source of pairs from a table, or one for each split, with a column for each language.

    A first line that names neither languages nor columns, but is a sentence, is a pair, and the languages are called
    ``first`` and ``second``.
    """
    rows = read_rows(paths, options, options.languages)
    names = [str(column) for column in rows.frame.columns if is_text(rows.frame[column])]
    named = bool(options.languages) and set(options.languages) <= set(names)
    if options.header == "yes" and not named and len(names) == 2 and _is_pair(names):
        rows = read_rows(paths, replace(options, header="no"))
        found = [str(column) for column in rows.frame.columns if is_text(rows.frame[column])]
        note = f"the first line, '{names[0]}', is read as a pair, not as names of columns"
        frame = rows.frame.rename(columns=dict(zip(found, COLUMNS, strict=True)))
        rows = replace(rows, frame=frame, notes=(*rows.notes, note))
    return pair_table(name, rows, options)


def _is_pair(names: Sequence[str]) -> bool:
    return not is_header(names) and all(" " in name.strip() or SENTENCE_END.search(name) for name in names)


def pair_table(name: str, rows: Rows, options: DataOptions) -> Source:
    """A source of pairs from the columns in ``languages``, or from the only two text columns (see ``direction``); a
    column called translation may hold all languages. Raises UsageError for unknown languages."""
    import pandas as pd

    frame, place = rows.frame, rows.place
    if TRANSLATION in frame.columns and isinstance(frame[TRANSLATION].iloc[0], dict):
        frame = pd.DataFrame(frame[TRANSLATION].tolist())
    columns = [str(column) for column in frame.columns]
    if not options.languages:
        columns = [column for column in columns if is_text(frame[column])]
    languages = direction(columns, options, name)
    sources, texts = (frame[language].tolist() for language in languages)
    parts, skipped, start = {}, 0, 0
    for split, count in rows.sizes.items():
        end = start + count
        places = [_shifted(place, start, language) for language in languages]
        parts[split], left_out = paired(sources[start:end], texts[start:end], places, options)
        start, skipped = end, skipped + left_out
    return pairs_source(name, parts, languages, options, skipped=skipped, notes=rows.notes)


def without_header(paths: Mapping[str, Path], options: DataOptions) -> bool:
    """Whether a table of pairs is tab-separated without a header of languages."""
    path = paths["train"]
    if not path.name.casefold().endswith(TABBED):
        return False
    first = lines_of(read_text(path, options.max_extracted_bytes, options.encoding))[0].split("\t")
    if options.languages:
        return not set(options.languages) <= set(first)
    return options.header == "no" or not is_header(first)


def looks_tabbed(frame: pd.DataFrame, paths: Mapping[str, Path], options: DataOptions) -> bool:
    """Whether a tab-separated table consists of pairs without a header: no target, and two columns of free text."""
    columns = [str(column) for column in frame.columns]
    labelled = options.targets or any(column.casefold() in USUAL_NAMES for column in columns)
    tabs = paths["train"].name.casefold().endswith(TABBED)
    if not tabs or labelled or options.task != "auto" or (options.header == "yes" and is_header(columns)):
        return False
    return is_tabbed([frame[column].tolist() for column in columns])


def looks_paired(frame: pd.DataFrame, options: DataOptions) -> bool:
    """Whether a table consists of pairs: no target, and besides row numbers two columns, of free text."""
    columns = [str(column) for column in frame.columns if not is_row_number(str(column))]
    if len(columns) != 2 or options.task != "auto" or options.targets or options.text is not None:
        return False
    labelled = any(column.casefold() in USUAL_NAMES for column in columns)
    return not labelled and all(looks_written(frame[column].tolist()) for column in columns)


def is_text(series: pd.Series[Any]) -> bool:
    """Whether every present value of a column is a string."""
    present = series.dropna()
    return len(present) > 0 and all(isinstance(value, str) for value in present.tolist())


def _shifted(place: Place, start: int, language: str) -> Place:
    return lambda row: f"{place(start + row)}, {language}"
