"""Sources of text files, one sample each, read on opening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lamina.data.memory import expect_room, file_sizes
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.targets.labels import Labels
from lamina.data.text.sources import running_text, texts_source
from lamina.data.text_files import read_text
from lamina.errors import DataError


def text_files_source(
    name: str, root: Path, paths: Mapping[str, Sequence[Path]], labels: Labels, options: DataOptions
) -> Source:
    """A source of the files of each split; ``labels`` holds their targets, concatenated over splits.

    Raises DataError for a file that is empty or cannot be read; with ``skip_bad`` it is skipped and listed in
    ``spec.skipped``, relative to ``root``.
    """
    texts: list[str] = []
    kept: list[int] = []
    bad: list[str] = []
    sizes = dict.fromkeys(paths, 0)
    every = [(split, path) for split, part in paths.items() for path in part]
    for number, (split, path) in enumerate(every):
        try:
            texts.append(read_text(path, options.max_extracted_bytes, options.encoding))
        except DataError as error:
            if not options.skip_bad:
                raise DataError(f"{error}; skip_bad (--skip-bad) skips such files") from error
            bad.append(path.relative_to(root).as_posix())
            continue
        kept.append(number)
        sizes[split] += 1
    if not texts:
        raise DataError(f"{name}: none of the {len(every):,} files can be read as text, such as '{every[0][1]}'")
    chosen = replace(labels, values=labels.take(torch.tensor(kept)))
    source = texts_source(name, texts, {split: count for split, count in sizes.items() if count}, chosen, options)
    return replace(source, spec=replace(source.spec, skipped=(*bad, *source.spec.skipped)))


def joined_files_source(name: str, paths: Mapping[str, Sequence[Path]], options: DataOptions) -> Source:
    """Running text of the files of each split, one after the other. Raises DataError for one that cannot be read."""
    every = [path for files in paths.values() for path in files]
    expect_room(file_sizes(every), "running text")
    parts = {}
    for split, files in paths.items():
        texts = (read_text(path, options.max_extracted_bytes, options.encoding) for path in files)
        parts[split] = "".join(text.rstrip("\n") + "\n" for text in texts)
    return running_text(name, parts, options)
