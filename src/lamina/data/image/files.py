"""Sources of image files: headers are read on opening, pixels on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from lamina.data.fingerprints import of_files
from lamina.data.image.decoding import (
    THREADS,
    EncodedImage,
    Header,
    ImageFile,
    attempt,
    decode,
    header,
    size_of,
    unreadable,
)
from lamina.data.image.index import HOW, read_index
from lamina.data.image.samples import ImageFiles, spaced
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import DataSpec
from lamina.data.splits import complete
from lamina.data.tabular.stored import StoredBytes
from lamina.data.targets.labels import Labels
from lamina.errors import DataError

MOST_HEADERS, SAMPLED = 20_000, 2_000
"""of more files than that the headers of so many are read"""


def image_files_source(
    name: str,
    root: Path,
    paths: Mapping[str, Sequence[ImageFile]],
    labels: Labels,
    options: DataOptions,
    licence: str = "",
) -> Source:
    """A source of the files of each split, or of images encoded in memory; ``labels`` holds their targets, concatenated
    over splits.

    Every header is read, of many files those of a sample, unless the folder has an index that holds them. With
    ``skip_bad`` every file is also decoded once, to find truncated ones; unreadable files are skipped and listed in
    ``spec.skipped``. Otherwise they raise DataError. Names in ``spec.skipped`` and in the fingerprint are relative to
    ``root``.
    """
    every = [path for part in paths.values() for path in part]
    below = f"{root.as_posix().rstrip('/')}/"
    names = [relative(path, below) for path in every]
    known = None if options.skip_bad else read_index(root, zip(names, every, strict=True))
    notes: tuple[str, ...] = ()
    if known is not None:
        results: list[Header | DataError | None] = [known[name] for name in names]
    else:
        few = options.skip_bad or len(every) <= MOST_HEADERS
        looked_at = list(range(len(every))) if options.skip_bad else spaced(every, len(every) if few else SAMPLED)
        if len(looked_at) < len(every):
            notes = (f"the headers of {len(looked_at):,} of {len(every):,} images were read, evenly spaced; {HOW}",)
        # for headers alone, threads cost more than they save
        threads = THREADS if options.skip_bad else 1
        chosen_images = [every[place] for place in looked_at]
        found = attempt(partial(_inspect, whole=options.skip_bad), chosen_images, threads=threads)
        results = [None] * len(every)
        for place, result in zip(looked_at, found, strict=True):
            results[place] = result
    errors = [result for result in results if isinstance(result, DataError)]
    if errors and (not options.skip_bad or len(errors) == len(every)):
        raise unreadable(errors, len(every))
    headers = [result for result in results if isinstance(result, Header)]
    good = [not isinstance(result, DataError) for result in results]

    splits: dict[str, ImageFiles] = {}
    start = 0
    for split, part in paths.items():
        kept = [i for i in range(start, start + len(part)) if good[i]]
        index = torch.tensor(kept, dtype=torch.int64)
        splits[split] = ImageFiles(tuple(every[i] for i in kept), labels.take(index))
        start += len(part)
    chosen = [i for i, is_good in enumerate(good) if is_good]
    channels, heights, widths = ({getattr(one, key) for one in headers} for key in ("channels", "height", "width"))
    same_size = len(heights) == len(widths) == 1
    spec = DataSpec(
        name=name,
        kind="image",
        **{**labels.facts(), "notes": (*labels.notes, *notes)},
        channels=channels.pop() if len(channels) == 1 else None,
        height=heights.pop() if same_size else None,
        width=widths.pop() if same_size else None,
        value_range=(0.0, 65535.0 if any(one.deep for one in headers) else 255.0),
        fingerprint=of_files(((names[i], _mark(every[i])) for i in chosen), labels.take(torch.tensor(chosen))),
        skipped=tuple(name for name, is_good in zip(names, good, strict=True) if not is_good),
        licence=licence,
    )
    groups = None if labels.groups is None else labels.groups.at(torch.tensor(chosen))
    return complete(spec, splits, options, groups)


def _inspect(path: ImageFile, *, whole: bool) -> Header:
    found = header(path)
    if whole:
        decode(path, found.channels)
    return found


def _mark(path: ImageFile) -> int | str:
    return path.digest if isinstance(path, EncodedImage) else size_of(path)


def relative(path: ImageFile, root: str) -> str:
    """The name of an image below a folder, which ends in a slash."""
    if isinstance(path, EncodedImage):
        return path.name
    if isinstance(path, StoredBytes):
        text = f"{path.part.as_posix()}, row {path.row}"
    else:
        text = path.as_posix() if isinstance(path, Path) else f"{path.shard.as_posix()}/{path.name}"
    return text[len(root) :] if text.startswith(root) else str(path)
