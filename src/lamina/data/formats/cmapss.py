"""Turbofan engines of C-MAPSS (NASA): ``train_FD001.txt``, ``test_FD001.txt`` and ``RUL_FD001.txt`` in a folder.

A line is a cycle of an engine: unit, cycle, three settings, 21 sensors, separated by blanks. Engines of train run to
their failure; those of test are cut before it, and the third file has the cycles that each has left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lamina.data.options import DataOptions
from lamina.data.series.counting import LIFE
from lamina.data.series.source import series_source
from lamina.data.source import Source
from lamina.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

NAME = re.compile(r"(train|test|RUL)_(FD\d+)\.txt", re.IGNORECASE)
INPUTS = (*(f"o{k}" for k in range(1, 4)), *(f"s{k}" for k in range(1, 22)))
COLUMNS = ("unit", "cycle", *INPUTS)
UNIT, TARGET = "unit", "cycles_left"


def cmapss_files(files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """The files of each set, ``{"FD001": {"train": ..., "test": ..., "rul": ...}}``, of sets with one of train."""
    found: dict[str, dict[str, Path]] = {}
    for path in files:
        if match := NAME.fullmatch(path.name):
            found.setdefault(match[2].upper(), {})[match[1].casefold()] = path
    return {name: parts for name, parts in sorted(found.items()) if "train" in parts}


def of_file(path: Path) -> dict[str, Path] | None:
    """The files of the set that a file is the train of; None for another file."""
    match = NAME.fullmatch(path.name)
    if match is None or match[1].casefold() != "train" or not path.is_file():
        return None
    return cmapss_files(sorted(path.parent.iterdir()))[match[2].upper()]


def open_sets(name: str, sets: dict[str, dict[str, Path]], options: DataOptions) -> Source:
    """The one set of a folder as a source. Raises UsageError for several, DataError for lines that are no cycles."""
    if len(sets) > 1:
        first = next(iter(sets.values()))["train"]
        raise UsageError(f"'{name}' holds {', '.join(sets)}: name one file of train, such as '{first}'")
    return open_set(name, next(iter(sets.values())), options)


def open_set(name: str, files: dict[str, Path], options: DataOptions) -> Source:
    """The engines of train and of test as series of cycles, with the cycles left as target.

    Raises DataError for a line that is no cycle, cycles that do not follow each other, and a file of RUL with another
    number of lines than test has engines.
    """
    import pandas as pd

    train = read_cycles(files["train"], "train")
    train[TARGET] = train.groupby(UNIT, sort=False)["cycle"].transform("max") - train["cycle"]
    parts, sizes = [train], {"train": len(train)}
    if "test" in files:
        if "rul" not in files:
            raise DataError(f"{files['test']} needs {files['test'].name.replace('test', 'RUL')} beside it")
        test = read_cycles(files["test"], "test")
        left = read_left(files["rul"])
        units = list(dict.fromkeys(test[UNIT]))
        if len(left) != len(units):
            raise DataError(
                f"{files['rul'].name} has {len(left):,} lines, but {files['test'].name} has {len(units):,} engines"
            )
        last = test.groupby(UNIT, sort=False)["cycle"].transform("max") - test["cycle"]
        test[TARGET] = last + test[UNIT].map(dict(zip(units, left, strict=True)))
        parts.append(test)
        sizes["test"] = len(test)
    frame = pd.concat(parts, ignore_index=True).drop(columns="cycle").astype(dict.fromkeys((*INPUTS, TARGET), float))
    chosen = replace(
        options, task=LIFE, series=(UNIT,), target=TARGET, group=options.group or UNIT, time=None, known=(), static=()
    )
    source = series_source(name, frame, sizes, lambda row: f"row {row + 1} of {name}", chosen)
    notes = tuple(note for note in source.spec.notes if not note.startswith("no column of time"))
    return replace(source, spec=replace(source.spec, licence="public domain (NASA)", notes=notes))


def read_cycles(path: Path, split: str) -> pd.DataFrame:
    """The cycles of a file, its engines called "train 1", "train 2", ... Raises DataError."""
    import pandas as pd

    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != len(COLUMNS):
            raise DataError(f"{path.name}, line {number}: {len(cells)} numbers, expected {len(COLUMNS)}")
        try:
            values = [float(cell) for cell in cells]
        except ValueError as error:
            raise DataError(f"{path.name}, line {number}: {error}") from None
        if not np.isfinite(values).all():
            raise DataError(f"{path.name}, line {number} holds a number that is not finite")
        rows.append(values)
    if not rows:
        raise DataError(f"{path.name} is empty")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    step = frame["cycle"].diff().to_numpy()
    new = frame["unit"].diff().to_numpy() != 0
    wrong = np.flatnonzero(np.where(new, frame["cycle"] != 1, step != 1))
    if len(wrong):
        row = frame.iloc[int(wrong[0])]
        raise DataError(
            f"{path.name}: cycle {row['cycle']:g} of unit {row['unit']:g} does not follow the one before: cycles of a "
            "unit are numbered from 1"
        )
    if new.sum() != frame["unit"].nunique():
        raise DataError(f"{path.name}: the cycles of a unit do not stand together")
    frame[UNIT] = [f"{split} {unit:g}" for unit in frame["unit"]]
    return frame


def read_left(path: Path) -> list[float]:
    """The cycles left of each engine of test. Raises DataError for a line that is no number of cycles."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = float(line)
        except ValueError:
            raise DataError(f"{path.name}, line {number} holds {line.strip()!r}, expected a number") from None
        if not (np.isfinite(value) and value >= 0):
            raise DataError(f"{path.name}, line {number} holds {line.strip()}, expected cycles from 0 on")
        found.append(value)
    return found
