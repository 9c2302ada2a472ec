"""What a model says of items, in plain values: the same for a run and for a file exported from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lamina.data.options import DataOptions
from lamina.data.preprocess import Preprocess
from lamina.data.streams import Batch
from lamina.data.targets.code import TargetCode
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text_files import lines_of, read_text
from lamina.errors import UsageError

TEXTS_AT_ONCE = 64


def predict_items(say: Callable[[Batch], Batch], preprocess: Preprocess, items: Sequence[Any]) -> list[dict[str, Any]]:
    """One dictionary for each item, or for each row of a table; ``say`` gives the task's predictions on a batch.

    Raises UsageError or DataError naming the item.
    """
    if not items:
        raise UsageError("nothing to predict: give a file, an array, a row or a text")
    said: list[dict[str, Any]] = []
    for batch in inputs(preprocess, items):
        out = say(batch)
        rows = len(next(iter(out.values())))
        said += [in_words(preprocess.target, {name: value[i] for name, value in out.items()}) for i in range(rows)]
    return said


def inputs(preprocess: Preprocess, items: Iterable[Any]) -> Iterator[Batch]:
    """The items as a model takes them. Raises UsageError or DataError naming the item."""
    for item in items:
        if isinstance(preprocess, TextPreprocess):
            texts = texts_of(item)
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                yield preprocess.encode_input(texts[start : start + TEXTS_AT_ONCE])
        else:
            yield preprocess.prepare(preprocess.encode_input(item))


def texts_of(item: Any) -> list[str]:
    """A text, several as a list, or the lines of a text file, given as a Path.

    Raises UsageError for anything else, and for a file that is not there; DataError for one that is empty or not UTF-8.
    """
    if isinstance(item, Path):
        if not item.is_file():
            raise UsageError(f"no such file: {item}")
        return [line for line in lines_of(read_text(item, DataOptions().max_extracted_bytes)) if line.strip()]
    texts = [item] if isinstance(item, str) else item
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        kind = type(item).__name__
        raise UsageError(f"a text is a str, several are a list, a file with one on each line is a Path, not {kind}")
    return list(texts)


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
