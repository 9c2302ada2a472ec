"""Predictions for items as plain values, for runs and exported files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.data.protocols import Preprocess
from lamina.data.streams import BLANK, Batch
from lamina.errors import UsageError
from lamina.tasks.base import Task


def predict_items(
    predict_batch: Callable[[Batch], Batch], task: Task, preprocess: Preprocess, items: Sequence[Any]
) -> list[dict[str, Any]]:
    """One dictionary for each item, or for each row of a table or line of a file, of None for a blank line;
    ``predict_batch`` returns the task's predictions.

    Raises UsageError or DataError naming the item.
    """
    if not items:
        raise UsageError("nothing to predict: give a file, an array, a row or a text")
    predictions: list[dict[str, Any] | None] = []
    for item in items:
        for batch in preprocess.input_batches(item):
            blank = batch.pop(BLANK, None)
            out = predict_batch(batch)
            rows = len(next(iter(out.values())))
            predictions += [
                None
                if blank is not None and blank[i]
                else task.format_prediction({name: value[i] for name, value in out.items()}, preprocess.target)
                for i in range(rows)
            ]
    return with_gaps(predictions)


def with_gaps(predictions: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Predictions in which a missing one is a dictionary of the others' keys, of None."""
    keys = next((one for one in predictions if one is not None), {})
    return [dict.fromkeys(keys) if one is None else one for one in predictions]
