"""Targets that are probabilities: sure ones give what class indices give, mixed ones the mixture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina.tasks.base import EngineAtRest
from lamina.tasks.classification import Classification

LOGITS = torch.randn((12, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.arange(12) % 4
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
OPTIONS = [{}, {"label_smoothing": 0.1}, {"class_weights": WEIGHTS}, {"label_smoothing": 0.1, "class_weights": WEIGHTS}]


def loss(target: Tensor, **options: Any) -> tuple[float, float]:
    task = Classification(4, **options)
    value, logs = task.loss(nn.Identity(), {"image": LOGITS, "target": target}, EngineAtRest())
    return float(value), float(logs["accuracy"])


@pytest.mark.parametrize("options", OPTIONS)
def test_sure_probabilities_are_class_indices(options: dict[str, Any]) -> None:
    sure = nn.functional.one_hot(TARGET, 4).double()
    assert loss(sure, **options) == pytest.approx(loss(TARGET, **options), rel=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_mixture_costs_the_mixture(options: dict[str, Any]) -> None:
    """share x the cost of one class + (1 - share) x that of the other; with weights, of weighted sums and weights."""
    other, share = (TARGET + 1) % 4, 0.7
    one, two = (nn.functional.one_hot(t, 4).double() for t in (TARGET, other))
    found, accuracy = loss(share * one + (1 - share) * two, **options)
    smoothing = options.get("label_smoothing", 0.0)
    weights = options.get("class_weights", torch.ones(4, dtype=torch.float64))
    total = [
        (weights[t] * nn.functional.cross_entropy(LOGITS, t, label_smoothing=smoothing, reduction="none")).sum()
        for t in (TARGET, other)
    ]
    parts = [weights[TARGET].sum(), weights[other].sum()]
    expected = (share * total[0] + (1 - share) * total[1]) / (share * parts[0] + (1 - share) * parts[1])
    assert found == pytest.approx(float(expected), rel=1e-12)
    assert accuracy == loss(TARGET)[1]  # of the class that has most of the image
