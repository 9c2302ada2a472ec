"""The data of a run: opened by its configuration, and divided into the sides of its task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import cast

from lamina.data.formats.memory import MemoryData
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.partition import random_order
from lamina.data.sides import joined, sides_of
from lamina.data.source import Samples, Source, Split
from lamina.data.streams import Batch
from lamina.data.targets.labels import READ_FOR, READ_FOR_MODELS, SERIES_TASKS, strata
from lamina.errors import LaminaError, UsageError
from lamina.randomness import derive
from lamina.tasks.base import Task
from lamina.tasks.table import AUTO, TASKS


@dataclass(frozen=True)
class OpenData:
    """Data that have been opened: their place, the options that they were read with, and what was read."""

    place: str | tuple[str, ...] | MemoryData
    options: DataOptions
    source: Source


def open_data(data: str | tuple[str, ...] | MemoryData, options: DataOptions) -> Source:
    """One source, or several as the sides "A", "B", ... of one. Raises UsageError and DataError."""
    if not isinstance(data, tuple):
        return open_source(data, options=options)
    return joined({side: open_source(one, options=options) for side, one in zip(ascii_uppercase, data, strict=False)})


def open_for(
    data: str | tuple[str, ...] | MemoryData,
    options: DataOptions,
    tasks: Sequence[str],
    before: OpenData | None = None,
) -> tuple[Source, DataOptions]:
    """The data to train a model of these ``tasks`` on, and the options with the task that they were read for.

    Data left to themselves may be of another task than the only one of the model: then they are read for the model's,
    as a table of two columns of words is pairs for a translator. What was opened ``before`` with the same options is
    not opened again. Raises UsageError and DataError.
    """
    if len(tasks) == 1 and options.task == AUTO and _restores(tasks[0]):
        options = replace(options, task=tasks[0])  # targets of one class, say, are no fault
    if tasks and options.task == AUTO and all(task in SERIES_TASKS for task in tasks):
        source = open_data(data, replace(options, task=tasks[0]))
        return source, replace(options, task=source.spec.task if source.spec.task in tasks else tasks[0])
    known = before is not None and (before.place, before.options) == (data, options)
    source = before.source if before is not None and known else open_data(data, options)
    if len(tasks) != 1 or tasks[0] not in READ_FOR_MODELS or options.task != AUTO or source.spec.task == tasks[0]:
        return source, options
    options = replace(options, task=tasks[0])
    try:
        return open_data(data, options), options
    except LaminaError as error:
        raise UsageError(f"the model is trained for {tasks[0]}, but {error}") from error


def _restores(task: str) -> bool:
    """Whether a task takes data of any kind and predicts no targets."""
    kind = TASKS.find(task)
    return kind is not None and not kind.needs_targets and task not in READ_FOR


def parts_of(source: Source, split: str, task: Task) -> dict[str, Split]:
    """The parts of a split that a task draws from: the split itself, or one part for each side. Raises UsageError."""
    if not task.sides:
        return {split: source.splits[split]}
    sides = sides_of(source, task.sides, split)
    return {side: one.splits[split] for side, one in sides.items() if split in one.splits}


def training_parts(source: Source, task: Task, seed: int) -> dict[str, Split]:
    """The parts of the training split that streams draw from, by name: those of ``parts_of``, or for a task with
    ``shares`` parts of these sizes, drawn by ``seed`` in proportion to the classes.

    Raises UsageError for a part without samples.
    """
    if not task.shares:
        return parts_of(source, "train", task)
    whole = cast(Samples, source.splits["train"])
    order = random_order(strata(source.spec, whole.targets), len(whole), derive(seed, "shares"))
    found: dict[str, Split] = {}
    total, start = 0.0, 0
    for name, share in task.shares.items():
        total += share
        end = round(total / sum(task.shares.values()) * len(whole))
        if end == start:
            raise UsageError(f"'{source.spec.name}' has too few training samples for a share of {share:g} ({name})")
        found[name] = whole.subset(sorted(order[start:end].tolist()))
        start = end
    return found


@dataclass(frozen=True)
class Chained:
    """Batches of several iterables in turn; can be iterated repeatedly."""

    every: Sequence[Iterable[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        for batches in self.every:
            yield from batches


def chained(every: Iterable[Iterable[Batch]]) -> Iterable[Batch]:
    """Batches of several iterables in turn; a single iterable is returned unchanged."""
    found = list(every)
    return found[0] if len(found) == 1 else Chained(found)
