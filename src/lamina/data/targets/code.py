"""Targets as a model is trained on them, and back: part of every preprocess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from lamina.data.source import Samples, Source, Split, targets_of
from lamina.data.spec import NO_TARGETS
from lamina.data.targets.labels import PREDICTED
from lamina.errors import DataError

WITHOUT_CODE = (NO_TARGETS, "language-modelling")
"""what has no targets beside the data themselves"""


@dataclass(frozen=True, kw_only=True)
class TargetCode:
    """What targets mean: names of classes, or the mean and standard deviation that standardise values."""

    task: str
    """the task that the targets are those of: "classification", "multilabel", "regression", "language-modelling",
    "translation"; "none" where there are none"""
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """target columns; of a translation the languages, from and into"""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Numbers that a model predicting the targets gives for each sample; 0 where it gives texts, or nothing."""
        return len(self.names) if self.task == "regression" else len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each output: classes, labels, or target columns."""
        return self.classes or self.names

    def encode(self, targets: Tensor) -> Tensor:
        """Regression: (N, K) standardised. Classes and labels stay as they are."""
        if self.task != "regression":
            return targets
        return ((targets.double() - torch.tensor(self.mean).double()) / torch.tensor(self.std).double()).float()

    def encoded(self, split: Split) -> dict[str, Tensor]:
        """{"target": ...} of a split, empty where it has no targets."""
        targets = targets_of(split)
        return {} if targets is None else {"target": self.encode(targets)}

    def decode(self, outputs: Tensor) -> Tensor:
        """Regression: (N, K) standardised to the target's own units. Anything else stays as it is."""
        if self.task != "regression":
            return outputs
        return outputs * outputs.new_tensor(self.std) + outputs.new_tensor(self.mean)

    @property
    def exclusive(self) -> bool:
        """Whether a sample has one class, and so what speaks against one speaks for another."""
        return self.task == "classification"

    @property
    def probable(self) -> bool:
        """Whether predictions are probabilities; else values in units of their own."""
        return self.task != "regression"

    def read(self, outputs_BK: Tensor) -> Tensor:
        """A model's outputs as probabilities, or as values in the target's own units."""
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
    """Class names as the source has them; mean and standard deviation of regression targets over train."""
    spec = source.spec
    if spec.task != "regression":
        return TargetCode(task=spec.task, classes=spec.classes, names=spec.targets or spec.languages)
    values = cast(Tensor, targets_of(source.splits["train"])).double()
    std = values.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    return TargetCode(task=spec.task, names=spec.targets, mean=tuple(values.mean(0).tolist()), std=tuple(std.tolist()))


def align(source: Source, code: TargetCode) -> Source:
    """Another source with its classes numbered as the model knows them, so that it can be evaluated on.

    Raises DataError for other targets than the model was trained with, for a class that it does not know, and for other
    languages.
    """
    spec = source.spec
    if code.task == NO_TARGETS:
        return source
    if spec.task != code.task:
        raise DataError(f"{spec.name} calls for {spec.task}, the model was trained for {code.task}")
    if code.task in WITHOUT_CODE:
        return source
    if code.task == "translation":
        if spec.languages != code.names:
            have, want = " to ".join(spec.languages), " to ".join(code.names)
            raise DataError(f"{spec.name} translates from {have}, the model was trained from {want}")
        return source
    if code.task == "regression":
        if spec.targets != code.names:
            have, want = ", ".join(spec.targets), ", ".join(code.names)
            raise DataError(f"{spec.name} has the targets {have}, the model was trained on {want}")
        return source
    if code.task not in PREDICTED:  # of a kind that another package brings: nothing here can number them anew
        if spec.classes != code.classes:
            raise DataError(f"{spec.name} has other classes than those that the model was trained with")
        return source
    for name in spec.classes:
        if name not in code.classes:
            raise DataError(f"{spec.name} has the class '{name}', which the model does not know")
    place = torch.tensor([code.classes.index(name) for name in spec.classes])

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
