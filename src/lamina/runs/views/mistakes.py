"""The worst predictions of a split, by kind of target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lamina.data.targets.code import TargetCode
from lamina.report.content import Mistake

MISTAKES = 24
"""maximum number shown"""
Sample = dict[str, Any]
Describe = Callable[[int, int], Sample]
"""(sample, output) -> fields of Mistake that show the sample"""


def mistakes(target: TargetCode, truth: Tensor, predicted: Tensor, sample: Describe) -> list[Mistake]:
    """The most confident wrong predictions; for regression the largest errors; none for other targets."""
    found = WORST.get(target.task)
    return [] if found is None else found(target, truth, predicted, sample)


def _classes(target: TargetCode, truth: Tensor, predicted: Tensor, sample: Describe) -> list[Mistake]:
    names = target.labels
    probability, prediction = predicted.max(1)
    wrong = [i for i in probability.argsort(descending=True).tolist() if prediction[i] != truth[i]][:MISTAKES]
    return [
        Mistake(
            truth=names[int(truth[i])],
            predicted=names[int(prediction[i])],
            probability=float(probability[i]),
            **sample(i, int(prediction[i])),
        )
        for i in wrong
    ]


def _labels(target: TargetCode, truth: Tensor, predicted: Tensor, sample: Describe) -> list[Mistake]:
    names = target.labels
    sure_NK = torch.where(truth > 0.5, 1 - predicted, predicted)  # confidence in the wrong prediction
    worst, label = sure_NK.max(1)
    wrong = [i for i in worst.argsort(descending=True).tolist() if worst[i] > 0.5][:MISTAKES]
    return [
        Mistake(
            truth=names[k] if truth[i, k] > 0.5 else f"not {names[k]}",
            predicted=f"not {names[k]}" if truth[i, k] > 0.5 else names[k],
            probability=float(worst[i]),
            **sample(i, k),
        )
        for i in wrong
        for k in [int(label[i])]
    ]


def _values(target: TargetCode, truth: Tensor, predicted: Tensor, sample: Describe) -> list[Mistake]:
    names = target.labels
    error_NK = predicted - truth
    scaled_NK = error_NK.abs() / torch.tensor(target.std)
    worst, output = scaled_NK.max(1)
    order = worst.argsort(descending=True)[:MISTAKES].tolist()
    several = len(names) > 1
    return [
        Mistake(
            truth=(f"{names[k]} " if several else "") + f"{truth[i, k]:.6g}",
            predicted=f"{predicted[i, k]:.6g}",
            error=float(error_NK[i, k]),
            **sample(i, k),
        )
        for i in order
        for k in [int(output[i])]
    ]


WORST: dict[str, Callable[[TargetCode, Tensor, Tensor, Describe], list[Mistake]]] = {
    "classification": _classes,
    "multilabel": _labels,
    "regression": _values,
}
