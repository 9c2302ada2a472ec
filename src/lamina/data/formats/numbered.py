"""Files that are numbered parts of one data set: ``part-00003.parquet``, ``train-00003-of-00010.parquet``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from lamina.data.options import DataOptions
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.errors import DataError

NUMBERED = re.compile(r"(part-)(\d+)()(-.*)|(.*?)(\d+)(?:-of-(\d+))?(\D*)")
"""as Spark names its parts, or by the last number of the name, or the last but one: 00003-of-00010"""
FEWEST_DIGITS = 3
"""of a number that counts parts: 2020 in houses-2020.csv does not, as no part is number 0 or 1"""


def expect_all(paths: Sequence[Path], options: DataOptions) -> None:
    """Raise DataError for a number that a series of files lacks; ``skip_bad`` goes without it."""
    series: dict[tuple[str, ...], dict[int, str]] = {}
    for path in paths:
        before, number, total, after = _numbered(path) or ("", "", "", "")
        if total or len(number) >= FEWEST_DIGITS:
            series.setdefault((str(path.parent), before, total, after), {})[int(number)] = number
    for (folder, before, total, after), found in series.items():
        first, last = (0, int(total) - 1) if total else (min(found), max(found))
        digits = len(next(iter(found.values())))
        for missing in range(first, last + 1):
            if missing not in found and not options.skip_bad:
                lost = f"{before}{missing:0{digits}}{f'-of-{total}' if total else ''}{after}"
                raise DataError(f"'{Path(folder) / lost}' is missing; skip_bad (--skip-bad) goes without it")


def numbered_parts(files: Sequence[Path], is_part: Callable[[Path], bool]) -> dict[str, list[Path]]:
    """The parts by split, in order, where all files of the kind are numbered parts of one data set; else empty.

    Example: of ``train-000.csv``, ``train-001.csv`` and ``test-000.csv`` two of train and one of test.
    """
    found: dict[str, dict[int, Path]] = {}
    kinds = set()
    for path in filter(is_part, files):
        before, number, total, after = _numbered(path) or ("", "", "", "")
        if not number or (len(number) < FEWEST_DIGITS and not total):
            return {}
        words = [word for word in re.split(r"[._\s-]+", before.casefold()) if word]
        named = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
        split = named[0] if len(named) == 1 else "train"
        kinds.add((tuple(word for word in words if word not in SPLIT_NAMES), after))
        if int(number) in found.setdefault(split, {}):
            return {}
        found[split][int(number)] = path
    counted = all(min(numbers) <= 1 for numbers in found.values())
    if len(kinds) != 1 or not counted or sum(map(len, found.values())) < 2 or "train" not in found:
        return {}
    return {split: [found[split][n] for n in sorted(found[split])] for split in ORDER if split in found}


def _numbered(path: Path) -> tuple[str, str, str, str] | None:
    """What is before the number of a part, its digits, the number of all parts or "", what is after it."""
    match = NUMBERED.fullmatch(path.name)
    if match is None:
        return None
    before, number, total, after = (match[place] if match[1] else match[place + 4] for place in (1, 2, 3, 4))
    return before, number, total or "", after
