"""What a model says of items, in plain values: the same for a run and for a file exported from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.data.preprocess import Preprocess
from lamina.data.streams import Batch
from lamina.data.target_code import TargetCode
from lamina.errors import UsageError


def predict_items(say: Callable[[Batch], Batch], preprocess: Preprocess, items: Sequence[Any]) -> list[dict[str, Any]]:
    """One dictionary for each item, or for each row of a table; ``say`` gives the task's predictions on a batch.

    Raises UsageError or DataError naming the item.
    """
    if not items:
        raise UsageError("nothing to predict: give a file, an array or a row")
    said: list[dict[str, Any]] = []
    for item in items:
        out = say(preprocess.prepare(preprocess.encode_input(item)))
        rows = len(next(iter(out.values())))
        said += [in_words(preprocess.target, {name: value[i] for name, value in out.items()}) for i in range(rows)]
    return said


def in_words(target: TargetCode, said: Batch) -> dict[str, Any]:
    """One prediction: a value for each target, or "probabilities" by class and what they come to."""
    names = target.classes or target.names
    if "values" in said:
        return dict(zip(names, said["values"].tolist(), strict=True))
    probabilities = dict(zip(names, said["probabilities"].tolist(), strict=True))
    if target.task == "multilabel":
        labels = [name for name, probability in probabilities.items() if probability > 0.5]
        return {"labels": labels, "probabilities": probabilities}
    best = max(probabilities, key=probabilities.__getitem__)
    return {"class": best, "probability": probabilities[best], "probabilities": probabilities}
