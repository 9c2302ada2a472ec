"""Options of a loss that are right alone are right together: what a model comes to at the optimum, for every pair.

A model with an output of its own for each group of samples can reach the optimum of any loss; there it has to predict
the class of the group, whatever weights, smoothing and mixing say.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from lamina.tasks.classification import Classification, FocalClassification
from lamina.tasks.multilabel import weighted_binary_cross_entropy
from lamina.tasks.weighting import class_weights

COUNTS = (600, 400, 6)
LABELS = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
WEIGHTS = class_weights(LABELS, 3)


def optimum(loss: Callable[[Tensor], Tensor], groups: int, outputs: int) -> Tensor:
    """The logits of each group that minimise a loss of them, from zero."""
    table = torch.zeros(groups, outputs, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([table], max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimiser.zero_grad()
        # a little weight decay: without smoothing the optimum is at infinity
        value = loss(table) + 1e-7 * table.square().sum()
        value.backward()
        return value

    optimiser.step(closure)
    return table.detach()


def mixed() -> tuple[Tensor, Tensor]:
    """Groups and targets of a batch in which every sample is mixed with one of another class, as mixup does it."""
    share = torch.tensor([0.9, 0.8, 0.7, 0.95] * (len(LABELS) // 4 + 1))[: len(LABELS), None].double()
    partner = LABELS.roll(1, 0)
    one = torch.eye(3, dtype=torch.float64)
    return LABELS, share * one[LABELS] + (1 - share) * one[partner]


@pytest.mark.parametrize(
    ("weighted", "smoothing", "mixes", "gamma"),
    [one for one in product((False, True), (0.0, 0.1), (False, True), (None, 2.0)) if not (one[1] and one[3])],
)
def test_every_pair_of_options_finds_every_class(
    weighted: bool, smoothing: float, mixes: bool, gamma: float | None
) -> None:
    task = Classification(3) if gamma is None else FocalClassification(3, gamma=gamma)
    weights = WEIGHTS.double() if weighted else None
    groups, target = mixed() if mixes else (LABELS, LABELS)
    found = optimum(lambda table: task.cost(table[groups], target, weights, smoothing), 3, 3)
    assert found.argmax(1).tolist() == [0, 1, 2]


def test_the_example() -> None:
    """600, 400 and 6 rows, separable: with class weights and smoothing together all of them are right, not 0.5 %."""
    found = optimum(lambda table: Classification(3).cost(table[LABELS], LABELS, WEIGHTS.double(), 0.1), 3, 3)
    assert (found.argmax(1)[LABELS] == LABELS).double().mean() == 1
    # each class stands alone: its optimum is the smoothed target, whatever the weights
    smoothed = torch.eye(3, dtype=torch.float64) * 0.9 + 0.1 / 3
    torch.testing.assert_close(found.softmax(1), smoothed, rtol=0, atol=2e-3)


def test_weights_count_samples_and_not_the_smoothing() -> None:
    """The value: w[y] times the cross-entropy to the smoothed target, divided by the sum of w[y]."""
    logits, weights = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0.2, 3.0, 40.0], dtype=torch.float64)
    target = torch.tensor([0, 1, 2, 1, 0])
    smoothed = torch.eye(3, dtype=torch.float64)[target] * 0.9 + 0.1 / 3
    each = -(smoothed * logits.log_softmax(1)).sum(1)
    by_hand = (weights[target] * each).sum() / weights[target].sum()
    torch.testing.assert_close(Classification(3).cost(logits, target, weights, 0.1), by_hand)


@pytest.mark.parametrize(("weighted", "smoothing"), [*product((False, True), (0.0, 0.1))])
def test_a_rare_label_is_not_predicted_where_it_is_absent(weighted: bool, smoothing: float) -> None:
    """Labels that 2 % and 50 % of the samples have: at the optimum a sample that lacks one is below one half."""
    target = torch.zeros(400, 2, dtype=torch.float64)
    target[:8, 0] = target[::2, 1] = 1
    groups = (target[:, 0] * 2 + target[:, 1]).long()
    weights = class_weights(target, 2).double() if weighted else None
    found = optimum(lambda table: weighted_binary_cross_entropy(table[groups], target, weights, smoothing), 4, 2)
    assert ((found.sigmoid() > 0.5).double()[groups] == target).all()
