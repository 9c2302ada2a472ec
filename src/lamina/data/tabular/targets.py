"""Targets: from columns as read to tensors, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.spec import TaskName
from lamina.data.tabular.columns import Place, Typed, shown, typed
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

USUAL_NAMES = ("target", "label", "class", "y")
MOST_INTEGER_CLASSES = 20


@dataclass(frozen=True)
class Labels:
    """The targets of all samples of a source."""

    task: TaskName
    classes: tuple[str, ...]
    names: tuple[str, ...]
    """target columns"""
    values: Tensor
    """(N,) int64 class indices, or (N, K) float32"""


def class_labels(indices: np.ndarray[Any, Any] | Sequence[int], classes: Sequence[str], name: str = "class") -> Labels:
    """Labels that are class indices already."""
    values = torch.from_numpy(np.array(indices, dtype=np.int64))
    return Labels("classification", tuple(classes), (name,), values)


def expect_classes(source: str, options: DataOptions) -> None:
    """Refuse options that a source with built-in classes cannot follow. Raises UsageError."""
    if options.task not in ("auto", "classification"):
        raise UsageError(f"{source} has one class for each sample: its task is classification, not {options.task}")
    if options.targets:
        raise UsageError(f"{source} has no columns to choose a target from, got target '{options.targets[0]}'")


def target_columns(columns: Sequence[str], options: DataOptions, source: str) -> tuple[str, ...]:
    """Those named, else the one column called target, label, class or y (case aside). Raises UsageError."""
    for name in options.targets:
        if name not in columns:
            raise unknown("target column", name, columns)
    if options.targets:
        return options.targets
    usual = [name for name in columns if name.casefold() in USUAL_NAMES]
    if len(usual) == 1:
        return (usual[0],)
    if len(columns) == 1:
        raise UsageError(f"{source} has one column, '{columns[0]}', and none with labels beside it")
    listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    raise UsageError(f"{source}: name the target column with --target, one of: {listed}")


def infer_task(columns: Sequence[Typed], separator: str) -> TaskName:
    """What targets call for, where the user does not say.

    One column: text or truth values are classes (labels, if one holds the separator); whole numbers with at most 20
    different values are classes; other numbers are a regression. Several columns: labels if all are 0 and 1, else a
    regression.
    """
    if len(columns) > 1:
        return "multilabel" if all(_is_binary(column) for column in columns) else "regression"
    column = columns[0]
    if column.kind == "categorical":
        several = any(separator in value for value in column.values)
        return "multilabel" if several else "classification"
    if column.boolean or (column.integral and column.values.nunique() <= MOST_INTEGER_CLASSES):
        return "classification"
    return "regression"


def encode_targets(frame: pd.DataFrame, options: DataOptions, place: Place) -> Labels:
    """Targets of a frame that holds the target columns only, none of them missing.

    Classes are sorted: numbers by value, texts by letter. Raises DataError naming the row for a value that the task
    cannot take, UsageError for a task that the columns cannot serve.
    """
    if options.task in ("language-modelling", "translation"):
        raise UsageError(f"{options.task} is learnt from texts, which have no target column")
    names = tuple(str(name) for name in frame.columns)
    columns = [typed(frame[name], place, categorical=name in options.categorical) for name in names]
    task = infer_task(columns, options.separator) if options.task == "auto" else options.task
    if task == "classification":
        if len(columns) > 1:
            raise UsageError(f"classification has one target column, got {len(columns)}: {', '.join(names)}")
        values, classes = _classes(columns[0])
        return Labels("classification", classes, names, values)
    if task == "multilabel" and len(columns) == 1:
        values, classes = _separated(columns[0], options.separator)
        return Labels("multilabel", classes, names, values)
    for name, column in zip(names, columns, strict=True):
        if column.kind == "categorical":
            raise DataError(f"{place(0)}: target '{name}' holds {shown(column.values.iloc[0])}, {task} needs numbers")
        wrong = ~column.values.isin([0.0, 1.0]).to_numpy()
        if task == "multilabel" and wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{place(row)}: label '{name}' holds {shown(column.values.iloc[row])}, labels are 0 or 1")
    values = torch.from_numpy(np.stack([column.values.to_numpy(dtype=np.float32) for column in columns], axis=1))
    return Labels(task, names if task == "multilabel" else (), names, values)


def _is_binary(column: Typed) -> bool:
    return column.kind == "numeric" and bool(column.values.isin([0.0, 1.0]).all())


def _classes(column: Typed) -> tuple[Tensor, tuple[str, ...]]:
    values = column.values.to_numpy() if column.kind == "numeric" else column.values.to_numpy(dtype=str)
    found, indices = np.unique(values, return_inverse=True)
    if column.boolean:
        names = tuple(str(bool(value)) for value in found)
    elif column.kind == "numeric":
        names = tuple(str(int(value)) if float(value).is_integer() else str(float(value)) for value in found)
    else:
        names = tuple(str(value) for value in found)
    return torch.from_numpy(indices.astype(np.int64).reshape(-1)), names


def _separated(column: Typed, separator: str) -> tuple[Tensor, tuple[str, ...]]:
    texts = column.values if column.kind == "categorical" else column.values.map("{:g}".format)
    rows = [[label for part in text.split(separator) if (label := part.strip())] for text in texts]
    classes = tuple(sorted({label for row in rows for label in row}))
    place = {label: k for k, label in enumerate(classes)}
    values = torch.zeros(len(rows), len(classes))
    for i, row in enumerate(rows):
        for label in row:
            values[i, place[label]] = 1.0
    return values, classes
