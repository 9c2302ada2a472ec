"""Lines of text with labels before them, as fastText reads them: ``__label__sport __label__news The text``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.targets.labels import Labels, class_labels
from lamina.data.text.sources import texts_source
from lamina.data.text_files import read_lines
from lamina.errors import DataError, UsageError

MARK = "__label__"
LABEL = re.compile(rf"(?:^|(?<=\s)){MARK}(\S+)\s*")


def is_labelled(path: Path, options: DataOptions) -> bool:
    """Whether the first line with content begins with a label."""
    lines = read_lines(path, options.max_extracted_bytes, options.encoding)
    return next((line for line in lines if line.strip()), "").lstrip().startswith(MARK)


def open_labelled(name: str, paths: Mapping[str, Path], options: DataOptions) -> Source:
    """A source of labelled lines: classes if each has one label, else labels. Blank lines are no samples.

    Raises DataError for a line without a label or a text (with ``skip_bad`` it is left out and counted), UsageError for
    classification of lines with several labels.
    """
    texts: list[str] = []
    found: list[list[str]] = []
    sizes: dict[str, int] = {}
    bad, several = 0, ""
    for split, path in paths.items():
        sizes[split] = 0
        for number, line in enumerate(read_lines(path, options.max_extracted_bytes, options.encoding), 1):
            if not line.strip():
                continue
            labels, text = LABEL.findall(line), LABEL.sub("", line).strip()
            if not labels or not text:
                if not options.skip_bad:
                    what = "the text is empty" if labels else f"there is no label ({MARK}NAME)"
                    raise DataError(f"'{path}', line {number}: {what}; skip_bad (--skip-bad) leaves such lines out")
                bad += 1
                continue
            if len(set(labels)) > 1 and not several:
                several = f"{path.name}, line {number}"
            texts.append(text)
            found.append(labels)
            sizes[split] += 1
    classes = sorted({label for labels in found for label in labels})
    place = {label: k for k, label in enumerate(classes)}
    if several and options.task == "classification":
        raise UsageError(f"{several}: several labels, but classification has one for each text: use --task multilabel")
    if options.task == "multilabel" or (several and options.task == "auto"):
        values = torch.zeros(len(found), len(classes))
        for row, labels in enumerate(found):
            values[row, [place[label] for label in labels]] = 1.0
        encoded = Labels("multilabel", tuple(classes), ("label",), values)
    else:
        encoded = class_labels([place[labels[0]] for labels in found], classes, name, options, "label")
    source = texts_source(name, texts, {split: count for split, count in sizes.items() if count}, encoded, options)
    skipped = (f"{bad:,} lines without a label or a text",) if bad else ()
    return replace(source, spec=replace(source.spec, skipped=(*skipped, *source.spec.skipped)))
