"""The data of a run: opened as its configuration says, and cut into what a task draws from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.sides import joined, sides_of
from lamina.data.source import Source, Split
from lamina.data.streams import Batch
from lamina.tasks.base import Task


def open_data(data: str | tuple[str, ...], options: DataOptions) -> Source:
    """One source, or several as the sides "A", "B", ... of one. Raises UsageError and DataError."""
    if isinstance(data, str):
        return open_source(data, options=options)
    return joined({side: open_source(one, options=options) for side, one in zip(ascii_uppercase, data, strict=False)})


def parts_of(source: Source, split: str, task: Task) -> dict[str, Split]:
    """What a task draws of a split: the split itself, or that of each of the task's sides. Raises UsageError."""
    if not task.sides:
        return {split: source.splits[split]}
    sides = sides_of(source, task.sides)
    return {side: one.splits[split] for side, one in sides.items() if split in one.splits}


@dataclass(frozen=True)
class Chained:
    """Batches of one iterable after the other, as often as they are asked for."""

    every: Sequence[Iterable[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        for batches in self.every:
            yield from batches


def chained(every: Iterable[Iterable[Batch]]) -> Iterable[Batch]:
    """Batches of one iterable after the other; of a single one themselves."""
    found = list(every)
    return found[0] if len(found) == 1 else Chained(found)
