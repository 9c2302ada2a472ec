"""Conversion of target columns to tensors."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.spec import NO_TARGETS, DataSpec
from lamina.data.tabular.columns import Place, Typed, shown, typed
from lamina.data.tabular.groups import Groups
from lamina.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
USUAL_NAMES = ("target", "label", "class", "y")
MOST_INTEGER_CLASSES = 20
CLASSES = "classification"
"""the task of data with one class for each sample"""
PREDICTED = ("classification", "multilabel", "regression")
"""tasks with targets separate from the inputs"""
SERIES_TASKS = ("forecasting", "anomaly", "remaining-life")
"""tasks for which a table is read as series"""
READ_FOR = (*PREDICTED, "language-modelling", "translation", *SERIES_TASKS)
"""tasks that decide how data are read; others leave it to the data"""
READ_FOR_MODELS = ("translation",)
"""tasks that data are read for, too, where it is the only one of the model"""


@dataclass(frozen=True)
class Labels:
    """The targets of all samples of a source, concatenated over splits."""

    task: str
    """the task that the targets suggest; "none" without targets"""
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """target columns"""
    values: Tensor | None = None
    """(N,) int64 class indices, or (N, K) float32; None without targets"""
    hint: str = ""
    """without targets: how the user can provide them"""
    notes: tuple[str, ...] = ()
    """what the user should read about how the samples were divided"""
    groups: Groups | None = None
    """the samples that belong together; None: each is alone"""

    def take(self, index: Tensor | slice) -> Tensor | None:
        """The values at ``index``."""
        return None if self.values is None else self.values[index]

    def of_splits(self, sizes: Mapping[str, int]) -> dict[str, Tensor | None]:
        """The values by split."""
        if self.values is None:
            return dict.fromkeys(sizes)
        return dict(zip(sizes, self.values.split_with_sizes(list(sizes.values())), strict=True))

    def facts(self) -> dict[str, Any]:
        """The fields of ``DataSpec`` about the targets and the division."""
        facts = {"task": self.task, "classes": self.classes, "targets": self.names, "hint": self.hint}
        return {**facts, "notes": self.notes}


def unlabelled(hint: str) -> Labels:
    """No targets; ``hint`` describes how the user can provide them."""
    return Labels(NO_TARGETS, hint=hint)


def class_labels(
    indices: np.ndarray[Any, Any] | Sequence[int],
    classes: Sequence[str],
    source: str,
    options: DataOptions,
    name: str = "class",
) -> Labels:
    """Labels of a source with one class for each sample: class indices, or for regression the numeric class names.

    Raises UsageError for a task that they cannot be used for.

    Example: ``class_labels([0, 1, 1], ["cat", "dog"], "photos", DataOptions())``
    """
    if options.targets:
        raise UsageError(f"{source} has no columns to choose a target from, got target '{options.targets[0]}'")
    return _as_requested(np.array(indices, dtype=np.int64), classes, source, options, name)


def _as_requested(
    indices: np.ndarray[Any, Any], classes: Sequence[str], source: str, options: DataOptions, name: str
) -> Labels:
    if options.task == "regression":
        try:
            numbers = np.array([float(one) for one in classes], dtype=np.float32)
        except ValueError:
            numbers = np.array([np.nan])
        if not np.isfinite(numbers).all():
            word = next(one for one in classes if not is_number(one))
            raise UsageError(
                f"{source} has non-numeric classes, such as '{word}', but regression needs numbers; "
                "use --task classification"
            )
        return Labels("regression", (), (name,), torch.from_numpy(numbers[indices][:, None]))
    if options.task == "multilabel":
        raise UsageError(f"{source} has one class for each sample: its task is classification, not multilabel")
    return Labels("classification", tuple(classes), (name,), torch.from_numpy(indices))


def same_name(name: str) -> str:
    """A class name to compare with others: composed and decomposed letters are equal."""
    return unicodedata.normalize("NFC", name)


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def target_columns(columns: Sequence[str], options: DataOptions, source: str) -> tuple[str, ...] | str:
    """The requested target columns, or else the only column called target, label, class or y (ignoring case). Without
    one, a hint on how to name it. Raises UsageError for an unknown column."""
    for name in options.targets:
        if name not in columns:
            raise unknown("target column", name, columns)
    if options.targets:
        return options.targets
    usual = [name for name in columns if name.casefold() in USUAL_NAMES]
    if len(usual) == 1:
        return (usual[0],)
    if len(columns) == 1:
        return f"{source} has one column, '{columns[0]}', and no column of labels"
    listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    return f"{source}: name the target column with --target, one of: {listed}"


def infer_task(columns: Sequence[Typed], separator: str) -> str:
    """The task that target columns suggest.

    One column: text and booleans are classes (labels, if one contains the separator); integers with at most 20 distinct
    values are classes; other numbers are regression targets. Several columns: labels if all are 0 or 1, otherwise
    regression targets.
    """
    if len(columns) > 1:
        return "multilabel" if all(_is_binary(column) for column in columns) else "regression"
    column = columns[0]
    if column.kind == "categorical":
        several = any(separator in value for value in column.values)
        return "multilabel" if several else "classification"
    if column.boolean or (column.integral and _distinct(column) <= MOST_INTEGER_CLASSES):
        return "classification"
    return "regression"


def encode_targets(frame: pd.DataFrame, options: DataOptions, place: Place) -> Labels:
    """Labels from a frame of target columns without missing values.

    For a task without targets their kind is inferred. Classes are sorted: numbers by value, texts alphabetically.
    Raises DataError, naming the row, for a value that does not suit the task, UsageError for a task that does not suit
    the columns.
    """
    names = tuple(str(name) for name in frame.columns)
    columns = [
        typed(frame[name], place, categorical=name in options.categorical, options=options, target=True)
        for name in names
    ]
    task = options.task if options.task in PREDICTED else infer_task(columns, options.separator)
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
            raise DataError(
                f"{place(0)}: target '{name}' holds {shown(column.values.iloc[0])}, but {task} needs numbers"
            )
        wrong = ~column.values.isin([0.0, 1.0]).to_numpy()
        if task == "multilabel" and wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{place(row)}: label '{name}' holds {shown(column.values.iloc[row])}, labels must be 0 or 1"
            )
    values = torch.from_numpy(np.stack([column.values.to_numpy(dtype=np.float32) for column in columns], axis=1))
    return Labels(task, names if task == "multilabel" else (), names, values)


def _distinct(column: Typed) -> int:
    return int((column.values if column.exact is None else column.exact).nunique())


def _is_binary(column: Typed) -> bool:
    return column.kind == "numeric" and bool(column.values.isin([0.0, 1.0]).all())


def _classes(column: Typed) -> tuple[Tensor, tuple[str, ...]]:
    values: Array = column.values.to_numpy(dtype=None if column.kind == "numeric" else str)
    if column.exact is not None:  # whole numbers beyond 2^53
        values = np.array([int(value) for value in column.exact], dtype=object)
    found, indices = np.unique(values, return_inverse=True)
    if column.boolean:
        names = tuple(str(bool(value)) for value in found)
    elif column.exact is not None:
        names = tuple(map(str, found))
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


def strata(spec: DataSpec, targets: Tensor | None) -> Tensor | None:
    """The class of each sample for stratified splits; None if samples have no single class."""
    return targets if spec.task == "classification" else None


def check_targets(spec: DataSpec, splits: Mapping[str, Tensor | None], options: DataOptions) -> None:
    """Raise DataError for targets with a single class or value, if a model is to learn from them, and for a class that
    is not in train. Targets of other packages' tasks are not checked, nor those of a model that does not learn them."""
    targets = splits["train"]
    if targets is None or spec.task not in PREDICTED or not options.supervised or options.normal is not None:
        return
    if options.teaches:
        _expect_variety(spec, targets)
    if spec.task == CLASSES:
        present = set(targets.tolist())
        for name, values in splits.items():
            for index in sorted(set([] if values is None else values.tolist())):
                if index not in present:
                    raise DataError(f"{spec.name}: class '{spec.classes[index]}' is in {name} but not in train")


def _expect_variety(spec: DataSpec, targets: Tensor) -> None:
    if spec.task == "regression":
        constant = [name for k, name in enumerate(spec.targets) if bool((targets[:, k] == targets[0, k]).all())]
        if constant:
            raise DataError(f"{spec.name}: target '{constant[0]}' has only one value: there is nothing to learn")
        return
    if len(spec.classes) < 2:
        only = f"only one class ('{spec.classes[0]}')" if spec.classes else "no class at all"
        raise DataError(f"{spec.name}: {only}, but {spec.task} needs at least two")
    if spec.task == CLASSES and len(present := set(targets.tolist())) < 2:
        raise DataError(f"{spec.name}: only one class ('{spec.classes[min(present)]}') in train")


def describe_targets(spec: DataSpec, targets: Mapping[str, Tensor]) -> dict[str, Any]:
    """Range of regression targets, or number of samples of each class, by split."""
    if spec.task not in PREDICTED:
        return {}
    if spec.task == "regression":
        ranges = {
            split: {name: [float(of[:, k].min()), float(of[:, k].max())] for k, name in enumerate(spec.targets)}
            for split, of in targets.items()
        }
        return {"target_range": ranges}
    counts = {split: _counts(of, len(spec.classes)) for split, of in targets.items()}
    return {
        "classes": {name: {split: count[k] for split, count in counts.items()} for k, name in enumerate(spec.classes)}
    }


def _counts(targets: Tensor, classes: int) -> list[int]:
    found = targets.bincount(minlength=classes) if targets.ndim == 1 else targets.sum(0)
    return [int(count) for count in found.tolist()]
