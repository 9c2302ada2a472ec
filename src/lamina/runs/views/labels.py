"""Outputs by name: probabilities of classes, values of targets."""

from __future__ import annotations

from torch import Tensor

from lamina.data.targets.code import TargetCode
from lamina.errors import unknown
from lamina.report.wording import number, share


def class_number(target: str | int | None, names: tuple[str, ...]) -> int | None:
    """The index of a class, given by name or by number. Raises UsageError."""
    if target is None or isinstance(target, int):
        return target
    if target in names:
        return names.index(target)
    if target.isdecimal() and int(target) < len(names):
        return int(target)
    raise unknown("class", target, names)


def ranked(predicted_K: Tensor, target: TargetCode) -> list[tuple[str, str]]:
    """(class, probability), most probable first, or (target, value)."""
    names = target.labels
    if not target.probable:
        return [(name, number(value)) for name, value in zip(names, predicted_K.tolist(), strict=True)]
    order = predicted_K.argsort(descending=True).tolist()
    return [(names[i], share(float(predicted_K[i]))) for i in order]
