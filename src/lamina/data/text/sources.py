"""Sources of text: running text, texts with targets, texts with translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina.data.fingerprints import of_texts
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import DataSpec
from lamina.data.splits import complete
from lamina.data.tabular.columns import Place
from lamina.data.targets.labels import Labels
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.splitting import complete_pairs, complete_text
from lamina.errors import DataError, UsageError


def running_text(
    name: str,
    parts: Mapping[str, str],
    options: DataOptions,
    *,
    licence: str = "",
    tokenizer: str = "",
    notes: tuple[str, ...] = (),
) -> Source:
    """A source of running text, for language models. Raises UsageError for another task."""
    _expect_task(name, "running text without labels", "language-modelling", options)
    spec = DataSpec(
        name=name,
        kind="text",
        task="language-modelling",
        counted="characters",
        tokenizer=tokenizer,
        fingerprint=of_texts(parts.values()),
        notes=notes,
        licence=licence,
    )
    return complete_text(spec, {split: Text(text) for split, text in parts.items()}, options)


def texts_source(
    name: str, texts: Sequence[str], sizes: Mapping[str, int], labels: Labels, options: DataOptions
) -> Source:
    """A source of texts; ``labels`` holds their targets, concatenated over splits."""
    spec = DataSpec(
        name=name,
        kind="text",
        **labels.facts(),
        fingerprint=of_texts(texts, labels.values),
    )
    splits, start = {}, 0
    for split, count in sizes.items():
        end = start + count
        splits[split] = Texts(tuple(texts[start:end]), labels.take(slice(start, end)))
        start = end
    return complete(spec, splits, options, labels.groups)


def pairs_source(
    name: str,
    parts: Mapping[str, Pairs],
    languages: tuple[str, str],
    options: DataOptions,
    *,
    licence: str = "",
    tokenizer: str = "",
    skipped: int = 0,
    notes: tuple[str, ...] = (),
) -> Source:
    """A source of texts with translations from the first language into the second. Raises UsageError for another
    task."""
    _expect_task(name, "pairs of texts", "translation", options)
    texts = (text for part in parts.values() for both in zip(part.sources, part.texts, strict=True) for text in both)
    spec = DataSpec(
        name=name,
        kind="text",
        task="translation",
        languages=languages,
        tokenizer=tokenizer,
        fingerprint=of_texts(texts),
        notes=notes,
        skipped=(f"{skipped:,} pairs with an empty text",) if skipped else (),
        licence=licence,
    )
    return complete_pairs(spec, parts, options)


def _expect_task(name: str, what: str, task: str, options: DataOptions) -> None:
    if options.task not in ("auto", task):
        raise UsageError(f"{name} is {what}: its task is {task}, not {options.task}")


def empty_texts(texts: Sequence[Any], place: Place, options: DataOptions) -> np.ndarray[Any, Any]:
    """A mask of texts that are missing or white space only, to be skipped.

    Raises DataError, naming the first, without ``skip_bad`` or if all are empty.
    """
    empty = np.array([not isinstance(text, str) or not text.strip() for text in texts], dtype=bool)
    if empty.any() and (not options.skip_bad or empty.all()):
        raise DataError(
            f"{place(int(empty.argmax()))}: the text is empty ({int(empty.sum())} rows in all); skip_bad (--skip-bad) "
            "leaves such rows out"
        )
    return empty
