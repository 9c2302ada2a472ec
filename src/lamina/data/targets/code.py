"""Encoding and decoding of targets; part of every preprocess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from lamina.data.source import Samples, Source, Split, targets_of
from lamina.data.spec import NO_TARGETS
from lamina.data.targets.labels import PREDICTED, same_name
from lamina.errors import DataError

WITHOUT_CODE = (NO_TARGETS, "language-modelling")
"""tasks without separate targets"""


@dataclass(frozen=True, kw_only=True)
class TargetCode:
    """The encoding of targets: class names, or mean and standard deviation of regression targets.

    Example: ``TargetCode(task="regression", names=("price",), mean=(2.0,), std=(0.5,))``
    """

    task: str
    """the task of the targets: "classification", "multilabel", "regression", "language-modelling",
    "translation"; "none" without targets"""
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """target columns; for translation source and target language"""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Number of model outputs for each sample; 0 for text or without targets."""
        return len(self.names) if self.task == "regression" else len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each output: classes, labels, or target columns."""
        return self.classes or self.names

    def encode(self, targets: Tensor) -> Tensor:
        """Standardised regression targets (N, K). Classes and labels are returned unchanged."""
        if self.task != "regression":
            return targets
        return ((targets.double() - torch.tensor(self.mean).double()) / torch.tensor(self.std).double()).float()

    def encoded(self, split: Split) -> dict[str, Tensor]:
        """{"target": ...} of a split; empty without targets."""
        targets = targets_of(split)
        return {} if targets is None else {"target": self.encode(targets)}

    def decode(self, outputs: Tensor) -> Tensor:
        """Standardised regression values (N, K) in the target's own units. Others are returned unchanged."""
        if self.task != "regression":
            return outputs
        return outputs * outputs.new_tensor(self.std) + outputs.new_tensor(self.mean)

    @property
    def exclusive(self) -> bool:
        """Whether each sample has exactly one class."""
        return self.task == "classification"

    @property
    def probable(self) -> bool:
        """Whether predictions are probabilities rather than values."""
        return self.task != "regression"

    def read(self, outputs_BK: Tensor) -> Tensor:
        """Model outputs as probabilities, or as values in the target's own units."""
        if self.task == "regression":
            return self.decode(outputs_BK)
        return outputs_BK.sigmoid() if self.task == "multilabel" else outputs_BK.softmax(-1)

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "classes": list(self.classes),
            "names": list(self.names),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TargetCode:
        return cls(task=data["task"], **{key: tuple(data[key]) for key in ("classes", "names", "mean", "std")})


def fit_targets(source: Source) -> TargetCode:
    """The target code of a source: its class names, or mean and standard deviation of regression targets in train."""
    spec = source.spec
    if spec.task != "regression":
        return TargetCode(task=spec.task, classes=spec.classes, names=spec.targets or spec.languages)
    values = cast(Tensor, targets_of(source.splits["train"])).double()
    std = values.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    return TargetCode(task=spec.task, names=spec.targets, mean=tuple(values.mean(0).tolist()), std=tuple(std.tolist()))


def align(source: Source, code: TargetCode) -> Source:
    """Another source with its classes numbered as in ``code``, for evaluation.

    Raises DataError for targets of another task, unknown classes and other languages.

    Example: ``align(open_source("test.csv"), run_preprocess.target)``
    """
    spec = source.spec
    if code.task == NO_TARGETS:
        return source
    if spec.task == NO_TARGETS:
        raise DataError(f"{spec.advice}: there is nothing to compare predictions with ({spec.name})")
    if spec.task != code.task:
        raise DataError(f"{spec.name} is {spec.task} data, but the model was trained for {code.task}")
    if code.task in WITHOUT_CODE:
        return source
    if code.task == "translation":
        if spec.languages != code.names:
            have, want = " to ".join(spec.languages), " to ".join(code.names)
            raise DataError(f"{spec.name} translates from {have}, but the model was trained from {want}")
        return source
    if code.task == "regression":
        if spec.targets != code.names:
            have, want = ", ".join(spec.targets), ", ".join(code.names)
            raise DataError(f"{spec.name} has the targets {have}, but the model was trained on {want}")
        return source
    if code.task not in PREDICTED:  # of a kind that another package brings: nothing here can number them anew
        if spec.classes != code.classes:
            raise DataError(f"{spec.name} has other classes than those that the model was trained with")
        return source
    number = {same_name(name): k for k, name in enumerate(code.classes)}
    for name in spec.classes:
        if same_name(name) not in number:
            raise DataError(f"{spec.name} has the class '{name}', which the model does not know")
    place = torch.tensor([number[same_name(name)] for name in spec.classes])

    def renumbered(targets: Tensor) -> Tensor:
        if code.task == "classification":
            return place[targets]
        out = torch.zeros(len(targets), len(code.classes))
        out[:, place] = targets
        return out

    splits: dict[str, Split] = {}
    for name, split in source.splits.items():
        part = cast(Samples, split)
        splits[name] = part.with_targets(renumbered(cast(Tensor, part.targets)))
    return Source(replace(spec, classes=code.classes), splits)
