"""What is given to predict, as rows and files of rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from lamina.data.inputs import named_files
from lamina.data.tabular.frames import is_table
from lamina.errors import UsageError


def inputs(item: Any) -> Iterator[Any]:
    """The rows and files that an item stands for: the tables of a folder, at any depth, those that match a pattern,
    those and the rows of a list. Raises UsageError for a folder or pattern without tables."""
    if isinstance(item, list | tuple) and all(isinstance(one, str | os.PathLike | Mapping) for one in item):
        for one in item:
            yield from inputs(one)
    elif isinstance(item, str | os.PathLike):
        yield from named_files(item, is_table, "tables")
    else:
        yield item


def from_word(word: str) -> Any:
    """A row where the word is a JSON object, else the word, a path. Raises UsageError for broken JSON."""
    if not word.lstrip().startswith("{"):
        return word
    try:
        return json.loads(word)
    except ValueError as error:
        raise UsageError(f"'{word}' is not a JSON object: {error}") from None
