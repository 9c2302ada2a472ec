"""The criterion of LeNet-5's radial basis outputs against its formula, number by number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lamina.tasks.base import EngineAtRest
from lamina.tasks.rbf import RBFMaximumAPosteriori


def by_formula(y_BK: list[list[float]], targets: list[int], j: float) -> list[float]:
    """y_D + log(e^-j + sum_i e^-y_i) for each sample (LeCun et al. 1998, eq. 9)."""
    return [
        y[d] + math.log(math.exp(-j) + sum(math.exp(-penalty) for penalty in y))
        for y, d in zip(y_BK, targets, strict=True)
    ]


Y = [[0.3, 4.0, 2.0], [1.5, 0.1, 0.2], [5.0, 6.0, 0.0]]
TARGETS = [0, 2, 1]


@pytest.mark.parametrize("j", [0.5, 1.0, 10.0])
def test_the_loss_is_the_formula(j: float) -> None:
    task = RBFMaximumAPosteriori(3, j=j)
    each = by_formula(Y, TARGETS, j)
    y, target = torch.tensor(Y, dtype=torch.float64), torch.tensor(TARGETS)
    assert task.cost(-y, target).item() == pytest.approx(sum(each) / 3, rel=1e-12)
    assert min(each) > 0
    loss, logs = task.loss(nn.Identity(), {"image": -y, "target": target}, EngineAtRest())
    assert loss.item() == pytest.approx(sum(each) / 3, rel=1e-12)
    assert logs["accuracy"].item() == pytest.approx(1 / 3)


def test_j_is_1_where_nothing_else_is_said_and_must_be_positive() -> None:
    y, target = torch.tensor(Y, dtype=torch.float64), torch.tensor(TARGETS)
    assert RBFMaximumAPosteriori(3).cost(-y, target).item() == pytest.approx(sum(by_formula(Y, TARGETS, 1.0)) / 3)
    with pytest.raises(ValueError, match="j must be greater than 0, got 0"):
        RBFMaximumAPosteriori(3, j=0)


def test_its_gradient() -> None:
    task, target = RBFMaximumAPosteriori(3, j=2.0), torch.tensor(TARGETS)
    y = torch.tensor(Y, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: task.cost(-y, target), y)


def test_huge_penalties_stay_finite_and_are_pushed_no_further() -> None:
    task = RBFMaximumAPosteriori(3, j=1.0)
    y = torch.tensor([[2000.0, 3000.0, 1500.0]], requires_grad=True)
    loss = task.cost(-y, torch.tensor([0]))
    assert loss.item() == pytest.approx(1999.0)  # y_D - j: all that is left of the sum is e^-j
    (gradient,) = torch.autograd.grad(loss, y)
    assert gradient.tolist() == [[1.0, 0.0, 0.0]]


def test_weights_of_classes() -> None:
    weights = [0.5, 2.0, 1.0]
    task = RBFMaximumAPosteriori(3, class_weights=torch.tensor(weights))
    batch = {"image": -torch.tensor(Y, dtype=torch.float64), "target": torch.tensor(TARGETS)}
    each = by_formula(Y, TARGETS, 1.0)
    wanted = sum(weights[d] * e for d, e in zip(TARGETS, each, strict=True)) / sum(weights[d] for d in TARGETS)
    assert task.loss(nn.Identity(), batch, EngineAtRest())[0].item() == pytest.approx(wanted)


def test_evaluation_gives_the_same_loss_unweighted_over_batches_of_any_size() -> None:
    task = RBFMaximumAPosteriori(3, class_weights=torch.tensor([0.5, 2.0, 1.0]))
    batch = {"image": -torch.tensor(Y), "target": torch.tensor(TARGETS)}
    metrics = task.metrics()
    for part in (slice(0, 2), slice(2, 3)):
        task.evaluate_step(nn.Identity(), {name: value[part] for name, value in batch.items()}, metrics)
    found = metrics.compute()
    assert float(found["loss"]) == pytest.approx(sum(by_formula(Y, TARGETS, 1.0)) / 3, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(1 / 3)
    said = task.predict(nn.Identity(), batch)["probabilities"]
    torch.testing.assert_close(
        said, torch.tensor([[math.exp(-v) / sum(map(math.exp, [-u for u in y])) for v in y] for y in Y])
    )
