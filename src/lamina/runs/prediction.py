"""Predictions for items as plain values, for runs and exported files: in batches, one by one where an item fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lamina.data.modality import MODALITIES
from lamina.data.protocols import Preprocess
from lamina.data.streams import BLANK, Batch
from lamina.errors import LaminaError, UsageError
from lamina.tasks.base import Task

AT_ONCE = 64
"""items that are predicted together"""


def items_of(preprocess: Preprocess, given: Iterable[Any]) -> list[Any]:
    """The items that are given one by one: the files of a folder, of a pattern, of a list.

    Raises UsageError for nothing at all.
    """
    inputs = MODALITIES[preprocess.kind].inputs
    items = list(given) if inputs is None else [one for item in given for one in inputs(item)]
    if not items:
        raise UsageError("nothing to predict: give a file, an array, a row or a text")
    return items


def batches_of(preprocess: Preprocess, items: Iterable[Any]) -> Iterator[Batch]:
    """Prepared batches of items, those of equal shape together. Raises UsageError or DataError naming the item."""
    waiting: list[Batch] = []
    count = 0
    for item in items:
        for batch in preprocess.input_batches(item):
            rows = len(next(iter(batch.values())))
            if waiting and (count + rows > AT_ONCE or _form(batch) != _form(waiting[0])):
                yield _together(waiting)
                waiting, count = [], 0
            waiting.append(batch)
            count += rows
    if waiting:
        yield _together(waiting)


def predict_items(
    predict_batch: Callable[[Batch], Batch], task: Task, preprocess: Preprocess, items: Sequence[Any]
) -> list[dict[str, Any]]:
    """One dictionary for each item, or for each row of a table or line of a file, of None for a blank line;
    ``predict_batch`` returns the task's predictions.

    Raises UsageError or DataError naming the item.
    """
    predictions: list[dict[str, Any] | None] = []
    for batch in batches_of(preprocess, items):
        blank = batch.pop(BLANK, None)
        out = predict_batch(batch)
        rows = len(next(iter(out.values())))
        for i in range(rows):
            one = {name: value[i] for name, value in out.items()}
            predictions += [None] if blank is not None and blank[i] else task.format_rows(one, preprocess.target)
    return with_gaps(predictions)


def with_gaps(predictions: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Predictions in which a missing one is a dictionary of the others' keys, of None."""
    keys = next((one for one in predictions if one is not None), {})
    return [dict.fromkeys(keys) if one is None else one for one in predictions]


@dataclass(frozen=True)
class Outcome:
    """What came of one input: a value, or the error that prevented it."""

    item: str
    """its name: the file, the row as it was given, the text"""
    row: int | None = None
    """in a file of rows or lines the number of the row, from 1"""
    alone: bool = True
    """whether there is no other row"""
    value: Any = None
    error: LaminaError | None = None

    @property
    def label(self) -> str:
        return self.item if self.alone else f"{self.item}, row {self.row}"


Call = Callable[..., Sequence[Any]]
"""maps an item, or a list of such as have a value each, to a value for each item or row"""


def outcomes(call: Call, kind: str, words: Iterable[str]) -> Iterator[Outcome]:
    """The outcome of every input of the modality ``kind`` that the words of a command line stand for, in their order;
    one that fails does not keep the others."""
    modality = MODALITIES[kind]
    waiting: list[tuple[str, Any]] = []
    words = list(words)
    if not words:
        yield from (Outcome("the run's data", row, False, value) for row, value in enumerate(call(), 1))
    for word in words:
        try:
            given = modality.from_word(word)
            for item in [given] if modality.inputs is None else modality.inputs(given):
                label = word if item is given else str(item)
                if modality.rows is not None and not modality.rows(item):
                    waiting.append((label, item))
                    if len(waiting) == AT_ONCE:
                        yield from _each(call, waiting)
                        waiting = []
                    continue
                yield from _each(call, waiting)
                waiting = []
                yield from _rows(call, label, item, counted=modality.rows is not None)
        except LaminaError as error:
            yield from _each(call, waiting)
            waiting = []
            yield Outcome(word, error=error)
    yield from _each(call, waiting)


def _each(call: Call, items: Sequence[tuple[str, Any]]) -> Iterator[Outcome]:
    """Items that have a value each: together, or by halves where that fails, down to those that do."""
    if not items:
        return
    try:
        values = call(items[0][1] if len(items) == 1 else [item for _, item in items])
    except LaminaError as error:
        if len(items) == 1:
            yield Outcome(items[0][0], error=error)
            return
        middle = len(items) // 2
        yield from _each(call, items[:middle])
        yield from _each(call, items[middle:])
        return
    yield from (Outcome(label, value=value) for (label, _), value in zip(items, values, strict=True))


def _rows(call: Call, label: str, item: Any, counted: bool) -> Iterator[Outcome]:
    try:
        values = call(item)
    except LaminaError as error:
        yield Outcome(label, error=error)
        return
    alone = len(values) == 1
    for row, value in enumerate(values, 1):
        yield Outcome(label, row if counted or not alone else None, alone, value)


def _form(batch: Batch) -> object:
    return [(name, value.dtype, value.shape[1:]) for name, value in batch.items()]


def _together(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
