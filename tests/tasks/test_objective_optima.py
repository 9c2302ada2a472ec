"""Every objective at its optimum: what a predictor that knows one cell of several, and nothing else, comes to say.

A model of one free output for each cell is trained to the minimum of the task's own loss, in double precision; what it
predicts there is known in closed form, or found by another implementation in numpy.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import huber, log_softmax, softmax
from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.options.recipe import Recipe
from lamina.tasks import classification, multilabel, regression
from lamina.tasks.base import EngineAtRest, Task, one_tensor
from lamina.tasks.classification import Classification, FocalClassification
from lamina.tasks.kind import TaskSetup

CELLS = 3
DRAWS = np.random.default_rng(0)
CELL = np.repeat(np.arange(CELLS), [40, 25, 60])
VALUES = DRAWS.exponential(1.0 + CELL)  # skewed, so that mean and median differ
CLASSES = np.array([DRAWS.choice(4, p=p) for p in np.array([[5, 3, 1, 1], [1, 1, 6, 2], [2, 4, 2, 2]])[CELL] / 10])
LABELS = (DRAWS.random((len(CELL), 2)) < np.array([[0.1, 0.7], [0.5, 0.5], [0.8, 0.2]])[CELL]).astype(float)
WEIGHTS = len(CELL) / (4 * np.bincount(CLASSES))


class OneEach(nn.Module):
    """A row of outputs for each cell."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(CELLS, outputs, dtype=torch.float64))

    def forward(self, cell_B: Tensor) -> Tensor:
        return self.table[cell_B]


def make(kind: Any, code: TargetCode, targets: Any, objective: Any = None, **recipe: Any) -> Task:
    preprocess: Any = SimpleNamespace(target=code, call=one_tensor("cell"))
    chosen = kind.objective(objective)
    targets = torch.tensor(targets)
    return kind.make(TaskSetup(preprocess=preprocess, recipe=Recipe(**recipe), objective=chosen, targets=targets))


def optimum(task: Task, targets: Any, outputs: int) -> np.ndarray:
    """The outputs (cells, K) of least loss, by L-BFGS in scipy on the task's loss and gradient."""
    model, batch = OneEach(outputs), {"cell": torch.tensor(CELL), "target": torch.tensor(targets)}

    def loss(table: np.ndarray) -> tuple[float, np.ndarray]:
        model.table.data = torch.tensor(table).reshape(CELLS, outputs)
        value, _ = task.loss(model, batch, EngineAtRest())
        (gradient,) = torch.autograd.grad(value, model.table)
        return value.item(), gradient.numpy().ravel()

    found = minimize(
        loss, np.zeros(CELLS * outputs), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
    )
    return found.x.reshape(CELLS, outputs)


def by_cell(function: Any, values: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(function(values[cell == CELL])) for cell in range(CELLS)])


# ---------------------------------------------------------------- values

CODE = TargetCode(task="regression", names=("y",), mean=(VALUES.mean(),), std=(VALUES.std(),))


def predicted(objective: Any) -> np.ndarray:
    """What the task predicts for each cell at its optimum, in the target's own units."""
    targets = CODE.encode(torch.tensor(VALUES)[:, None]).double()
    task = make(regression.KIND, CODE, targets.numpy(), objective)
    return task.restore(torch.tensor(optimum(task, targets.numpy(), 1))).numpy()[:, 0]


def test_squared_errors_are_least_at_the_mean() -> None:
    np.testing.assert_allclose(predicted("mse"), by_cell(np.mean, VALUES), rtol=1e-5)
    np.testing.assert_allclose(predicted(None), predicted("mse"), rtol=0)


def test_absolute_errors_are_least_at_the_median() -> None:
    """Between the two in the middle where their number is even: the error is as small as the median's."""
    found = predicted("mae")

    def error(cell: int, value: float) -> float:
        return float(np.abs(VALUES[cell == CELL] - value).mean())

    for cell, median in enumerate(by_cell(np.median, VALUES)):
        assert error(cell, found[cell]) <= error(cell, median) * 1.002
        assert abs(found[cell] - median) < 0.05 * np.abs(by_cell(np.mean, VALUES) - by_cell(np.median, VALUES)).max()


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
def test_hubers_errors_are_least_between_the_two(delta: float) -> None:
    """``delta`` counts in standard deviations of the target."""
    found, mean, median = (
        predicted({"name": "huber", "delta": delta}),
        *(by_cell(f, VALUES) for f in (np.mean, np.median)),
    )
    for cell in range(CELLS):
        ours = VALUES[cell == CELL]
        wanted = minimize_scalar(lambda m, y=ours: huber(delta * CODE.std[0], y - m).sum(), (0, 5), tol=1e-12).x
        assert found[cell] == pytest.approx(wanted, rel=1e-5)
        assert median[cell] - 0.01 <= found[cell] <= mean[cell] + 1e-6  # of an even number there are several medians


# ---------------------------------------------------------------- classes

CLASS_CODE = TargetCode(task="classification", classes=("a", "b", "c", "d"), names=("class",))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_least_at_the_frequencies(weighted: bool, smoothing: float) -> None:
    """Of the classes in the cell, weighted; smoothing mixes them with those of all classes alike."""
    task = make(classification.KIND, CLASS_CODE, CLASSES, class_weights=weighted, label_smoothing=smoothing)
    weights = WEIGHTS if weighted else np.ones(4)

    def wanted(classes: np.ndarray) -> np.ndarray:
        counts = np.bincount(classes, minlength=4)
        shares = weights * counts / (weights * counts).sum()
        return (1 - smoothing) * shares + smoothing / 4

    found = softmax(optimum(task, CLASSES, 4), 1)
    np.testing.assert_allclose(found, by_cell(wanted, CLASSES), atol=1e-5)


def plain_focal(table: np.ndarray, gamma: float, weights: np.ndarray) -> float:
    """The formula of Lin et al. 2017, eq. 4, sample after sample."""
    logs = log_softmax(table.reshape(CELLS, 4), 1)
    chosen, share = logs[CELL, CLASSES], weights[CLASSES]
    return float((share * -((1 - np.exp(chosen)) ** gamma) * chosen).sum() / share.sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_least_where_another_implementation_finds_it(weighted: bool, gamma: float) -> None:
    task = make(classification.KIND, CLASS_CODE, CLASSES, {"name": "focal", "gamma": gamma}, class_weights=weighted)
    weights = WEIGHTS if weighted else np.ones(4)
    theirs = minimize(plain_focal, np.zeros(CELLS * 4), (gamma, weights), method="L-BFGS-B", options={"ftol": 1e-15})
    ours = optimum(task, CLASSES, 4)
    assert plain_focal(ours, gamma, weights) <= theirs.fun * (1 + 1e-9)
    np.testing.assert_allclose(softmax(ours, 1), softmax(theirs.x.reshape(CELLS, 4), 1), atol=1e-3)
    plain = softmax(optimum(make(classification.KIND, CLASS_CODE, CLASSES, class_weights=weighted), CLASSES, 4), 1)
    assert np.abs(softmax(ours, 1) - plain).max() > 0.01  # flatter than the frequencies


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_least_at_each_labels_frequency(weighted: bool, smoothing: float) -> None:
    """Of the positive ones, which the weight multiplies; smoothing mixes in one half."""
    code = TargetCode(task="multilabel", classes=("p", "q"), names=("p", "q"))
    task = make(multilabel.KIND, code, LABELS, class_weights=weighted, label_smoothing=smoothing)
    weights = (1 - LABELS).sum(0) / LABELS.sum(0) if weighted else np.ones(2)

    def wanted(labels: np.ndarray) -> np.ndarray:
        share = weights * labels.mean(0) / (weights * labels.mean(0) + 1 - labels.mean(0))
        return share * (1 - smoothing) + smoothing / 2

    found = 1 / (1 + np.exp(-optimum(task, LABELS, 2)))
    np.testing.assert_allclose(found, by_cell(wanted, LABELS), atol=1e-5)


# ---------------------------------------------------------------- focal loss

LOGITS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SURE = torch.arange(16) % 4
MIXED = torch.rand(16, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("target", [SURE, MIXED], ids=["sure", "mixed"])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)])
def test_focal_loss_of_gamma_zero_is_cross_entropy(target: Tensor, weights: Tensor | None) -> None:
    found = []
    for task in (Classification(4, class_weights=weights), FocalClassification(4, class_weights=weights, gamma=0.0)):
        logits = LOGITS.clone().requires_grad_()
        loss, _ = task.loss(nn.Identity(), {"image": logits, "target": target}, EngineAtRest())
        found.append((loss.detach(), *torch.autograd.grad(loss, logits)))
    for plain, focal in zip(*found, strict=True):
        torch.testing.assert_close(focal, plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("right", [0, 1])
def test_focal_loss_has_a_gradient_where_a_probability_is_one(gamma: float, right: int) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0]], requires_grad=True)
    batch = {"image": logits, "target": torch.tensor([right])}
    loss, _ = FocalClassification(4, gamma=gamma).loss(nn.Identity(), batch, EngineAtRest())
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(200.0 * right, abs=1e-6)
    torch.testing.assert_close(slope, right * torch.tensor([[1.0, -1.0, 0.0, 0.0]]), rtol=1e-5, atol=1e-6)
